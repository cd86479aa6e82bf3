//! SQL text of the administrator: several statements at once, answered as text.

use futures_util::TryStreamExt;
use tokio_postgres::SimpleQueryMessage;

use super::error::PgError;
use super::pool::count;
use super::tx::{Fault, SystemTx};

/// What the last statement of a script answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptOutput {
    /// Names of the columns; `None` when it returns no rows.
    pub columns: Option<Vec<String>>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl SystemTx {
    /// Runs the administrator's SQL. It may change settings of the session, so
    /// the connection is closed when the transaction has ended.
    pub async fn script(&mut self, sql: &str) -> Result<ScriptOutput, PgError> {
        self.taint();
        count(&self.lease().counters().round_trips);
        let work = async {
            let mut messages = std::pin::pin!(self.lease().client()?.simple_query_raw(sql).await?);
            let mut output = ScriptOutput::default();
            let mut current = ScriptOutput::default();
            while let Some(message) = messages.try_next().await? {
                match message {
                    SimpleQueryMessage::RowDescription(columns) => {
                        let names = columns.iter().map(|column| column.name().to_owned()).collect();
                        current = ScriptOutput { columns: Some(names), rows: Vec::new() };
                    }
                    SimpleQueryMessage::Row(row) => current
                        .rows
                        .push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
                    SimpleQueryMessage::CommandComplete(_) => {
                        output = std::mem::take(&mut current);
                    }
                    _ => {}
                }
            }
            Ok::<_, Fault>(output)
        };
        work.await.map_err(|fault| match PgError::from(fault) {
            // The one answer that the protocol allows here and the driver does
            // not expect: COPY wants to send or get data.
            PgError::Protocol(_) => PgError::Stream,
            other => other,
        })
    }
}
