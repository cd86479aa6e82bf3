//! Event triggers on tables and cron triggers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_default;
use super::permission::Columns;
use super::text::NonEmpty;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventTrigger {
    pub name: NonEmpty,
    pub definition: EventDefinition,
    #[serde(default)]
    pub retry_conf: RetryConfiguration,
    #[serde(default, skip_serializing_if = "is_default")]
    pub webhook: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub webhook_from_env: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_transform: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_transform: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cleanup_config: Option<Value>,
    /// Whether rows that replication writes count too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trigger_on_replication: bool,
}

/// What is told of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EventDefinition {
    #[serde(default, deserialize_with = "or_false")]
    pub enable_manual: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub insert: Option<EventOperation>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub update: Option<EventOperation>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete: Option<EventOperation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventOperation {
    /// An update counts when one of these changes.
    pub columns: Columns,
    /// What the payload holds; all when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub payload: Option<Columns>,
}

/// `null` stands for what is left out, as older versions wrote it.
fn or_false<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl EventDefinition {
    /// What is told of, by the words of the definition.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, &EventOperation)> {
        let pairs = [("insert", &self.insert), ("update", &self.update), ("delete", &self.delete)];
        pairs.into_iter().filter_map(|(word, operation)| Some((word, operation.as_ref()?)))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryConfiguration {
    #[serde(default)]
    pub num_retries: u32,
    #[serde(default = "RetryConfiguration::interval")]
    pub interval_sec: u32,
    #[serde(default = "RetryConfiguration::timeout", skip_serializing_if = "is_default")]
    pub timeout_sec: Option<u32>,
}

impl RetryConfiguration {
    const fn interval() -> u32 {
        10
    }

    #[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
    const fn timeout() -> Option<u32> {
        Some(60)
    }
}

impl Default for RetryConfiguration {
    fn default() -> Self {
        RetryConfiguration {
            num_retries: 0,
            interval_sec: Self::interval(),
            timeout_sec: Self::timeout(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CronTrigger {
    pub name: NonEmpty,
    pub webhook: Value,
    pub schedule: Arc<str>,
    #[serde(default)]
    pub include_in_metadata: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub payload: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry_conf: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_transform: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_transform: Option<Value>,
}
