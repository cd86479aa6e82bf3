//! `order_by`.

use crate::operation::error::{BindError, Problem};
use crate::operation::input::Input;
use crate::operation::model::{OrderItem, OrderKey, RowsOf};
use crate::schema::tracked::{Returns, TrackedId};
use crate::schema::types::{EnumKind, InputKind, TypeDef, TypeId};

use super::Binder;

impl Binder<'_> {
    pub(super) fn order_by(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
        through: &mut Vec<usize>,
        out: &mut Vec<OrderItem>,
    ) -> Result<(), BindError> {
        for (name, field, input) in self.entries(ty, input)? {
            let base = field.ty.base;
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                // Null asks for no order, as in Hasura.
                (_, Input::Null) => {}
                (InputKind::Column(column), Input::Enum(word)) => {
                    out.push(self.ordered(through, OrderKey::Column(column), base, word)?);
                }
                (InputKind::Relationship(index), input) => {
                    let target = self.target(table, index)?;
                    through.push(index);
                    self.order_by(target, base, input, through, out)?;
                    through.pop();
                }
                (InputKind::RelationshipAggregate(index), input) => {
                    self.order_by_aggregate(
                        RowsOf::Relationship(index),
                        base,
                        input,
                        through,
                        out,
                    )?;
                }
                (InputKind::Computed(index), input) => {
                    match (self.computed(table, index)?.returns, input) {
                        (Returns::Scalar(_), Input::Enum(word)) => {
                            out.push(self.ordered(
                                through,
                                OrderKey::Computed(index),
                                base,
                                word,
                            )?);
                        }
                        (Returns::Rows { .. }, input) => {
                            let rows = RowsOf::Computed(index);
                            self.order_by_aggregate(rows, base, input, through, out)?;
                        }
                        _ => return Err(self.error(Problem::Schema("an order of no value"))),
                    }
                }
                _ => return Err(self.error(Problem::Schema("an order of no column"))),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn order_by_aggregate(
        &mut self,
        of: RowsOf,
        ty: TypeId,
        input: &Input,
        through: &[usize],
        out: &mut Vec<OrderItem>,
    ) -> Result<(), BindError> {
        for (name, field, input) in self.entries(ty, input)? {
            let base = field.ty.base;
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                (_, Input::Null) => {}
                (InputKind::Count, Input::Enum(word)) => {
                    out.push(self.ordered(through, OrderKey::Count(of), base, word)?);
                }
                (InputKind::Function(function), input) => {
                    for (name, field, input) in self.entries(base, input)? {
                        let ty = field.ty.base;
                        match (field.kind, input) {
                            (_, Input::Null) => {}
                            (InputKind::Column(column), Input::Enum(word)) => {
                                let key = OrderKey::Function { of, function, column };
                                let item =
                                    self.at(name, |binder| binder.ordered(through, key, ty, word))?;
                                out.push(item);
                            }
                            _ => return Err(self.error(Problem::Schema("an order of no column"))),
                        }
                    }
                }
                _ => return Err(self.error(Problem::Schema("an order of no aggregate"))),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn ordered(
        &self,
        through: &[usize],
        key: OrderKey,
        ty: TypeId,
        word: &str,
    ) -> Result<OrderItem, BindError> {
        if let Some(TypeDef::Enum(def)) = self.schema.types.get(ty)
            && let Some(EnumKind::Order { descending, nulls_first }) =
                def.values.get(word).map(|value| value.kind)
        {
            return Ok(OrderItem { through: through.to_vec(), key, descending, nulls_first });
        }
        Err(self.error(Problem::Schema("an unknown order")))
    }
}
