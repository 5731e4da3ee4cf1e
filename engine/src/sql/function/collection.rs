//! Structs, arrays and maps; greatest and least.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, StructArray, UInt32Array, make_comparator,
    new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::kernels::{cmp, zip};
use arrow::compute::{SortOptions, and, interleave, is_not_null, is_null, not, nullif, or, take};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::ScalarValue;

use super::{Kernel, SparkFn};
use crate::{Error, Result};

/// `array<element>`.
pub fn list_of(element: DataType) -> DataType {
    DataType::List(Field::new_list_field(element, true).into())
}

/// greatest and least: NULLs are left out.
pub fn extreme(greatest: bool, returns: DataType) -> SparkFn {
    let name = if greatest { "greatest" } else { "least" };
    SparkFn::owned(name, returns, move |_, arrays| {
        let mut best = Arc::clone(&arrays[0]);
        for array in &arrays[1..] {
            // Arrow's order has NaN last and so largest, as Spark's.
            let better = if greatest {
                cmp::gt_eq(&best, array)?
            } else {
                cmp::lt_eq(&best, array)?
            };
            // Where one side is NULL, the other is the best.
            let better = or(&BooleanArray::new(better.values().clone(), None), &is_null(array)?)?;
            let keep = and(&is_not_null(&best)?, &better)?;
            best = zip::zip(&keep, &best, array)?;
        }
        Ok(best)
    })
}

/// `struct(...)` and `named_struct(...)`: never NULL itself.
pub fn structure(returns: DataType) -> SparkFn {
    SparkFn::new(
        "named_struct",
        returns,
        Kernel::Arrays(|f, arrays| {
            let DataType::Struct(fields) = &f.returns else {
                return Err(Error::Invalid("a struct has fields".into()));
            };
            Ok(Arc::new(StructArray::try_new(fields.clone(), arrays.to_vec(), None)?))
        }),
    )
}

/// `array(a, b, ...)`.
pub fn array(returns: DataType) -> SparkFn {
    SparkFn::new(
        "array",
        returns,
        Kernel::Values(|f, values, rows| {
            let DataType::List(element) = &f.returns else {
                return Err(Error::Invalid("an array has elements".into()));
            };
            let arrays = values.iter().map(|v| v.to_array(rows)).collect::<Result<Vec<_>, _>>()?;
            let width = arrays.len();
            let columns: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
            let places: Vec<_> = (0..rows)
                .flat_map(|row| (0..width).map(move |column| (column, row)))
                .collect();
            let items = if width == 0 {
                new_null_array(element.data_type(), 0)
            } else {
                interleave(&columns, &places)?
            };
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
            let list: ArrayRef = Arc::new(ListArray::try_new(Arc::clone(element), offsets, items, None)?);
            super::columnar(list, values)
        }),
    )
}

/// `map(k, v, ...)`.
pub fn map(returns: DataType) -> SparkFn {
    SparkFn::new(
        "map",
        returns,
        Kernel::Values(|f, values, rows| {
            let DataType::Map(entries, _) = &f.returns else {
                return Err(Error::Invalid("a map has entries".into()));
            };
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(Error::Invalid("a map has pairs".into()));
            };
            let arrays = values.iter().map(|v| v.to_array(rows)).collect::<Result<Vec<_>, _>>()?;
            let width = arrays.len() / 2;
            let side = |offset: usize, data_type: &DataType| -> Result<ArrayRef> {
                let columns: Vec<&dyn Array> = arrays.iter().skip(offset).step_by(2).map(|a| a.as_ref()).collect();
                let places: Vec<_> = (0..rows)
                    .flat_map(|row| (0..width).map(move |column| (column, row)))
                    .collect();
                Ok(if width == 0 {
                    new_null_array(data_type, 0)
                } else {
                    interleave(&columns, &places)?
                })
            };
            let (keys, items) = (side(0, fields[0].data_type())?, side(1, fields[1].data_type())?);
            if keys.null_count() > 0 {
                return Err(Error::spark("NULL_MAP_KEY", "Cannot use null as map key."));
            }
            let same = make_comparator(&keys, &keys, SortOptions::default())?;
            for row in 0..rows {
                let of_row = row * width..(row + 1) * width;
                if let Some(twice) = of_row.clone().find(|at| (of_row.start..*at).any(|seen| same(seen, *at).is_eq())) {
                    let key = ScalarValue::try_from_array(&keys, twice)?;
                    return Err(Error::spark(
                        "DUPLICATED_MAP_KEY",
                        format!(
                            "Duplicate map key {key} was found, please check the input data. If you want to remove the \
                             duplicated keys, you can set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key \
                             inserted at last takes precedence."
                        ),
                    ));
                }
            }
            let pairs = StructArray::try_new(fields.clone(), vec![keys, items], None)?;
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
            let map: ArrayRef = Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, None, false)?);
            super::columnar(map, values)
        }),
    )
    .always_fallible()
}

/// What a scalar subquery found: a value, and in how many rows.
pub fn only_row(returns: &DataType) -> SparkFn {
    let kernel = |_: &SparkFn, arrays: &[ArrayRef]| {
        let rows = arrays[1].as_primitive::<Int64Type>();
        if rows.iter().flatten().any(|rows| rows > 1) {
            return Err(Error::spark(
                "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                "More than one row returned by a subquery used as an expression.",
            ));
        }
        Ok(Arc::clone(&arrays[0]))
    };
    SparkFn::owned("only_row", returns.clone(), kernel).always_fallible()
}

/// `list[index]`, counted from 0.
pub fn element(returns: DataType, ansi: bool) -> SparkFn {
    SparkFn::new("get_item", returns, Kernel::Arrays(|f, arrays| {
        pick(f, arrays, |index, length| usize::try_from(index).ok().filter(|i| *i < length), |index, length| {
            Error::spark(
                "INVALID_ARRAY_INDEX",
                format!(
                    "The index {index} is out of bounds. The array has {length} elements. Use the SQL function `get()` to \
                     tolerate accessing element at invalid index and return NULL instead."
                ),
            )
        })
    }))
    .fallible(ansi)
}

/// `element_at(list, index)`, counted from 1, or from the end.
pub fn element_at(returns: DataType, ansi: bool) -> SparkFn {
    SparkFn::new("element_at", returns, Kernel::Arrays(|f, arrays| {
        let place = |index: i64, length: usize| {
            let place = if index > 0 { index - 1 } else { length as i64 + index };
            usize::try_from(place).ok().filter(|i| *i < length && index != 0)
        };
        pick(f, arrays, place, |index, length| {
            Error::spark(
                "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
                format!(
                    "The index {index} is out of bounds. The array has {length} elements. Use `try_element_at` to tolerate \
                     accessing element at invalid index and return NULL instead."
                ),
            )
        })
    }))
    .fallible(ansi)
}

fn pick(
    f: &SparkFn,
    arrays: &[ArrayRef],
    place: impl Fn(i64, usize) -> Option<usize>,
    missing: impl Fn(i64, usize) -> Error,
) -> Result<ArrayRef> {
    let list: &ListArray = arrays[0].as_list();
    let indices = arrays[1].as_primitive::<Int64Type>();
    let places = (0..list.len()).map(|row| {
        if list.is_null(row) || indices.is_null(row) {
            return Ok(None);
        }
        let (start, length) = (list.value_offsets()[row], list.value_length(row) as usize);
        match place(indices.value(row), length) {
            Some(at) => Ok(Some(start as u32 + at as u32)),
            None if f.ansi => Err(missing(indices.value(row), length)),
            None => Ok(None),
        }
    });
    let places = places.collect::<Result<UInt32Array>>()?;
    Ok(take(list.values(), &places, None)?)
}

/// `map[key]`: NULL if there is no such key.
pub fn value(returns: DataType) -> SparkFn {
    SparkFn::new(
        "map_value",
        returns,
        Kernel::Arrays(|_, arrays| {
            let (map, wanted) = (arrays[0].as_map(), &arrays[1]);
            let same = make_comparator(map.keys(), wanted, SortOptions::default())?;
            let places = (0..map.len()).map(|row| {
                if map.is_null(row) || wanted.is_null(row) {
                    return None;
                }
                let (start, end) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
                (start..end).find(|at| same(*at, row).is_eq()).map(|at| at as u32)
            });
            Ok(take(map.values(), &places.collect::<UInt32Array>(), None)?)
        }),
    )
}

/// `list_of_structs.field`: the field of each element.
pub fn field_of_each(position: usize, returns: DataType) -> SparkFn {
    let kernel = move |f: &SparkFn, arrays: &[ArrayRef]| -> Result<ArrayRef> {
        let DataType::List(element) = &f.returns else {
            return Err(Error::Invalid("an array has elements".into()));
        };
        let list: &ListArray = arrays[0].as_list();
        let structs = list.values().as_struct();
        let items = Arc::clone(structs.column(position));
        // Of an element that is NULL, so is the field.
        let items = match structs.nulls() {
            Some(valid) => nullif(&items, &not(&BooleanArray::new(valid.inner().clone(), None))?)?,
            None => items,
        };
        let list = ListArray::try_new(
            Arc::clone(element),
            list.offsets().clone(),
            items,
            list.nulls().cloned(),
        )?;
        Ok(Arc::new(list))
    };
    SparkFn::owned("field_of_each", returns, kernel).params(vec![ScalarValue::from(position as u64)])
}

/// `size(list or map)`.
pub fn size() -> SparkFn {
    SparkFn::new(
        "size",
        DataType::Int32,
        Kernel::Arrays(|_, arrays| {
            let (offsets, nulls): (&ScalarBuffer<i32>, _) = match arrays[0].data_type() {
                DataType::Map(..) => (arrays[0].as_map().offsets().inner(), arrays[0].nulls()),
                _ => (arrays[0].as_list::<i32>().offsets().inner(), arrays[0].nulls()),
            };
            let sizes: Vec<i32> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
            Ok(Arc::new(Int32Array::new(sizes.into(), nulls.cloned())))
        }),
    )
}

/// `array_contains(list, item)`: NULL if it is not found among NULLs.
pub fn contains() -> SparkFn {
    SparkFn::new(
        "array_contains",
        DataType::Boolean,
        Kernel::Arrays(|_, arrays| {
            let (list, wanted) = (arrays[0].as_list::<i32>(), &arrays[1]);
            let same = make_comparator(list.values(), wanted, SortOptions::default())?;
            let found = (0..list.len()).map(|row| {
                if list.is_null(row) || wanted.is_null(row) {
                    return None;
                }
                let (start, end) = (
                    list.value_offsets()[row] as usize,
                    list.value_offsets()[row + 1] as usize,
                );
                let hit = (start..end).any(|at| list.values().is_valid(at) && same(at, row).is_eq());
                let unknown = (start..end).any(|at| list.values().is_null(at));
                if hit || !unknown { Some(hit) } else { None }
            });
            Ok(Arc::new(found.collect::<BooleanArray>()))
        }),
    )
}
