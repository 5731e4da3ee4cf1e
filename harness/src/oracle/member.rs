//! `IN` and `EXISTS` in conditions: calls that ask a static relation about the row.
//!
//! Spark lets such conditions sink, and follow from equal columns, as it does all conditions. As calls with columns for
//! arguments they need no rules of their own.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DfResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::conjuncts::equality;
use super::tree::*;

/// Whether a row has a partner in a static relation. (`NOT IN` asks for one that is equal, or not known not to be.)
#[derive(Debug, Clone)]
pub(super) struct Membership {
    /// Tells it from every other; the number of a column nothing else has.
    mark: Id,
    /// The static relation.
    pub table: usize,
    pub table_output: Vec<Attribute>,
    /// The columns of the row it asks about; the arguments of the call stand for them.
    columns: Vec<Id>,
    /// Equalities: an expression over the row, one over the table.
    on: Vec<(Expr, Expr)>,
    /// Everything else, over both.
    condition: Vec<Expr>,
}

/// A membership of a row: what stands for the columns of the row is filled in.
pub(super) struct Asked {
    pub on: Vec<(Expr, Expr)>,
    pub condition: Vec<Expr>,
}

impl Membership {
    /// What a semi, anti or mark join asks of each row of its left side, if its right side is static.
    pub fn of_join(mark: Id, left: &Node, right: &Node, condition: &[Expr]) -> Option<Self> {
        let Kind::Static { table, .. } = right.kind else {
            return None;
        };
        let (mut on, mut rest) = (vec![], vec![]);
        for predicate in condition {
            match equality(predicate, &left.ids(), &right.ids()) {
                Some((l, r, false)) => on.push((l, r)),
                _ => rest.push(predicate.clone()),
            }
        }
        let read: BTreeSet<Id> = condition.iter().flat_map(references).collect();
        Some(Self {
            mark,
            table,
            table_output: right.output.clone(),
            columns: read.intersection(&left.ids()).copied().collect(),
            on,
            condition: rest,
        })
    }

    /// The question about the columns it was written for.
    pub fn call(self) -> Expr {
        let args = self.columns.iter().map(|id| column(*id)).collect();
        ScalarUDF::new_from_impl(Question {
            membership: self,
            signature: Signature::variadic_any(Volatility::Immutable),
        })
        .call(args)
    }

    /// The question about these arguments.
    pub fn asked(&self, args: &[Expr]) -> Asked {
        let filled = |expr: &Expr| {
            let argument = |id: Id| args.get(self.columns.iter().position(|known| *known == id)?).cloned();
            substitute(expr, &argument)
        };
        Asked {
            on: self.on.iter().map(|(l, r)| (filled(l), r.clone())).collect(),
            condition: self.condition.iter().map(filled).collect(),
        }
    }
}

/// The memberships an expression asks for, each once.
pub(super) fn questions(expr: &Expr) -> Vec<Expr> {
    let mut found = vec![];
    let walked = expr.apply(|e| {
        if question(e).is_some() && !found.contains(e) {
            found.push(e.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk does not fail");
    found
}

/// The membership and its arguments, if an expression is one.
pub(super) fn question(expr: &Expr) -> Option<(&Membership, &[Expr])> {
    match expr {
        Expr::ScalarFunction(call) => {
            let question = call.func.inner().downcast_ref::<Question>()?;
            Some((&question.membership, &call.args))
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Question {
    membership: Membership,
    signature: Signature,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.membership.mark == other.membership.mark
    }
}

impl Eq for Question {}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.membership.mark.hash(state);
    }
}

impl ScalarUDFImpl for Question {
    fn name(&self) -> &str {
        "(question)"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        plan_err!("a question is answered by its table")
    }
}
