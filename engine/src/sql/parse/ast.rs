//! The syntax tree of a query, as a user wrote it: nothing is resolved.

/// A query: common table expressions, a body, its order and its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub ctes: Vec<Cte>,
    pub body: Body,
    pub order_by: Vec<Order>,
    pub limit: Option<Ast>,
    pub offset: Option<Ast>,
}

/// `name (columns) AS (query)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub name: String,
    pub columns: Vec<String>,
    pub query: Query,
}

/// What a query is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Select(Box<Select>),
    Query(Box<Query>),
    Values(Vec<Vec<Ast>>),
    Set {
        op: SetOp,
        all: bool,
        left: Box<Body>,
        right: Box<Body>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

impl SetOp {
    /// The word in Spark's messages.
    pub fn name(self) -> &'static str {
        match self {
            SetOp::Union => "UNION",
            SetOp::Intersect => "INTERSECT",
            SetOp::Except => "EXCEPT",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub distinct: bool,
    pub items: Vec<Item>,
    pub from: Vec<Relation>,
    pub filter: Option<Ast>,
    pub group_by: GroupBy,
    pub having: Option<Ast>,
}

/// An item of a SELECT list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub expr: Ast,
    pub alias: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum GroupBy {
    None,
    /// `GROUP BY ALL`: by every item that does not aggregate.
    All,
    By(Vec<Ast>),
    /// ROLLUP, CUBE and GROUPING SETS: all expressions, and for each set which of them it groups by.
    Sets {
        by: Vec<Ast>,
        sets: Vec<Vec<usize>>,
    },
}

/// `expr [ASC | DESC] [NULLS FIRST | LAST]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub expr: Ast,
    pub ascending: bool,
    pub nulls_first: bool,
    /// Of SORT BY and CLUSTER BY.
    pub in_partitions: bool,
}

/// Something that can stand after FROM.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    Table {
        name: Vec<String>,
        alias: Alias,
        watermark: Option<Box<Watermark>>,
    },
    Derived {
        query: Box<Query>,
        alias: Alias,
        watermark: Option<Box<Watermark>>,
    },
    Join {
        left: Box<Relation>,
        right: Box<Relation>,
        kind: JoinKind,
        on: JoinOn,
    },
}

/// `AS name (columns)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alias {
    pub name: Option<String>,
    pub columns: Vec<String>,
}

/// `WATERMARK expr [AS name] DELAY OF INTERVAL ...`.
#[derive(Debug, Clone, PartialEq)]
pub struct Watermark {
    pub expr: Ast,
    pub alias: Option<String>,
    pub delay: Ast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Cross,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JoinOn {
    Nothing,
    Natural,
    Condition(Ast),
    Using(Vec<String>),
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Ast {
    Null,
    Bool(bool),
    /// A number with its suffix, as written.
    Number(String),
    Text(String),
    /// `TIMESTAMP'...'`, `DATE'...'`, `X'...'`: the kind in upper case.
    Typed(&'static str, String),
    Interval(Interval),
    Name(Vec<String>),
    /// `*` or `t.*`.
    Star(Vec<String>),
    Unary(UnaryOp, Box<Ast>),
    Binary(BinaryOp, Box<Ast>, Box<Ast>),
    /// `expr IS NULL`, or IS NOT NULL.
    IsNull(Box<Ast>, bool),
    Between(Box<Ast>, Box<Ast>, Box<Ast>),
    In(Box<Ast>, Vec<Ast>),
    InQuery(Box<Ast>, Box<Query>),
    Exists(Box<Query>),
    Scalar(Box<Query>),
    Like {
        kind: LikeKind,
        expr: Box<Ast>,
        pattern: Box<Ast>,
        escape: Option<char>,
    },
    Case {
        operand: Option<Box<Ast>>,
        whens: Vec<(Ast, Ast)>,
        otherwise: Option<Box<Ast>>,
    },
    Cast {
        expr: Box<Ast>,
        to: String,
        forgiving: bool,
    },
    Call(Box<Call>),
    /// `expr.field`, where `expr` is no plain name.
    Field(Box<Ast>, String),
    /// `expr[key]`.
    Element(Box<Ast>, Box<Ast>),
    /// `(a, b)`.
    Tuple(Vec<Ast>),
    /// `expr AS name` inside `struct(...)`.
    Named(Box<Ast>, String),
    /// `EXTRACT(field FROM expr)`.
    Extract(String, Box<Ast>),
}

/// `OVER (...)`, as far as queries are refused for it.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWindow {
    /// What rows are parted and ordered by.
    pub by: Vec<Ast>,
    /// It has an ORDER BY, or a name and so may have one.
    pub has_order: bool,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The name as written.
    pub name: String,
    pub args: Vec<Ast>,
    pub distinct: bool,
    pub filter: Option<Ast>,
    /// `OVER (...)` follows.
    pub over: Option<RowWindow>,
    pub ignore_nulls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    Not,
    Minus,
    Plus,
    BitNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    NullSafeEq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Plus,
    Minus,
    Multiply,
    Divide,
    IntDivide,
    Modulo,
    Concat,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

impl BinaryOp {
    /// The symbol in Spark's column names and messages.
    pub fn symbol(self) -> &'static str {
        use BinaryOp::*;
        match self {
            Or => "OR",
            And => "AND",
            Eq => "=",
            NullSafeEq => "<=>",
            NotEq => "<>",
            Lt => "<",
            LtEq => "<=",
            Gt => ">",
            GtEq => ">=",
            Plus => "+",
            Minus => "-",
            Multiply => "*",
            Divide => "/",
            IntDivide => "div",
            Modulo => "%",
            Concat => "||",
            BitAnd => "&",
            BitOr => "|",
            BitXor => "^",
            ShiftLeft => "<<",
            ShiftRight => ">>",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeKind {
    Like,
    ILike,
    RLike,
}

/// An interval literal: months or microseconds, and the units it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Years and months, in months.
    YearMonth { months: i32, from: Unit, to: Unit },
    /// Days to seconds, in microseconds.
    DayTime { micros: i64, from: Unit, to: Unit },
}

/// Units of intervals, from large to small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    /// The SQL word.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Year => "YEAR",
            Unit::Month => "MONTH",
            Unit::Day => "DAY",
            Unit::Hour => "HOUR",
            Unit::Minute => "MINUTE",
            Unit::Second => "SECOND",
        }
    }
}
