//! What the values of a column are: the model of the generator that comes closest.

mod number;
mod text;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use skirl_generator::spec::Share;
use skirl_generator::stream::{ColumnModel, ColumnSpec, ColumnType, Literal};

use super::moments::Moments;
use super::observe::{Observed, made_type};
use super::rounded;

/// The columns of the look-alike.
pub(super) fn fit(observed: &Observed, moments: &Moments, remarks: &mut Vec<String>) -> Vec<ColumnSpec> {
    let sample = observed.sample.num_rows();
    let readable: BooleanArray = observed.seen[..sample].iter().map(|seen| Some(seen.readable)).collect();
    let events: Vec<Option<i64>> = observed.seen[..sample]
        .iter()
        .zip(&moments.rows)
        .filter(|(seen, _)| seen.readable)
        .map(|(_, moment)| moment.event_us.filter(|_| moment.copied_us.is_none()))
        .collect();
    let mut columns = vec![];
    for (index, field) in observed.schema.fields().iter().enumerate() {
        let Some(kind) = made_type(field.data_type()) else {
            remarks.push(format!(
                "column `{}` is left out: the generator makes no values of type {}",
                field.name(),
                skirl_engine::sql::spark_type_name(field.data_type())
            ));
            continue;
        };
        let values = filter(observed.sample.column(index), &readable).expect("a mask as long as the column");
        let spec = |model: ColumnModel, template: Option<String>, nulls: f64| ColumnSpec {
            name: field.name().clone(),
            kind,
            model,
            template,
            nulls: Share(rounded(nulls)),
        };
        if observed.time_column == Some(index) {
            columns.push(spec(ColumnModel::EventTime, None, 0.0));
            continue;
        }
        let nulls = values.null_count() as f64 / values.len().max(1) as f64;
        let (model, template) = model(field.name(), kind, &values, &events);
        columns.push(spec(model, template, nulls));
    }
    if columns.is_empty() {
        remarks.push("no column is left, so the look-alike counts its rows".into());
        columns.push(ColumnSpec {
            name: "row".into(),
            kind: ColumnType::Bigint,
            model: ColumnModel::Sequence {
                start: Literal::Integer(0),
                step: Literal::Integer(1),
            },
            template: None,
            nulls: Share(0.0),
        });
    }
    columns
}

/// The model of a column's values, and the template of its texts.
fn model(name: &str, kind: ColumnType, values: &ArrayRef, events: &[Option<i64>]) -> (ColumnModel, Option<String>) {
    match kind {
        ColumnType::String => text::fit(name, values.as_string()),
        ColumnType::Boolean => (truths(values.as_boolean()), None),
        ColumnType::Double => (number::fit_reals(&reals(values)), None),
        _ => {
            let units = units(values, kind);
            let in_order = number::in_order_of_events(&units, events);
            let known: Vec<i64> = units.into_iter().flatten().collect();
            (number::fit_units(known, &in_order, kind), None)
        }
    }
}

fn truths(values: &BooleanArray) -> ColumnModel {
    let (truths, known) = (values.true_count() as f64, (values.len() - values.null_count()) as f64);
    ColumnModel::Choice {
        values: vec![Literal::Boolean(true), Literal::Boolean(false)],
        // A column of NULLs is made of nothing else, whatever it would choose.
        weights: if known > 0.0 {
            vec![truths, known - truths]
        } else {
            vec![]
        },
    }
}

fn reals(values: &ArrayRef) -> Vec<f64> {
    let values = cast(values, &DataType::Float64).expect("floats become doubles");
    values
        .as_primitive::<Float64Type>()
        .iter()
        .flatten()
        .filter(|value| value.is_finite())
        .collect()
}

/// Values in the units the generator counts a type in: itself, microseconds, days, or the last decimal place.
fn units(values: &ArrayRef, kind: ColumnType) -> Vec<Option<i64>> {
    match kind {
        ColumnType::Timestamp => values.as_primitive::<TimestampMicrosecondType>().iter().collect(),
        ColumnType::Date => values
            .as_primitive::<Date32Type>()
            .iter()
            .map(|day| day.map(i64::from))
            .collect(),
        ColumnType::Decimal(..) => {
            let units = values.as_primitive::<Decimal128Type>().iter();
            units
                .map(|units| units.and_then(|units| i64::try_from(units).ok()))
                .collect()
        }
        _ => {
            let values = cast(values, &DataType::Int64).expect("whole numbers become 64 bits");
            values.as_primitive::<Int64Type>().iter().collect()
        }
    }
}
