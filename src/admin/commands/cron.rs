//! Cron triggers: kept and checked, not run by this version.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::command::{Output, arguments, output, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code, JsonPath};
use crate::metadata::NonEmpty;
use crate::metadata::event::CronTrigger;

#[derive(Deserialize)]
struct Create {
    #[serde(flatten)]
    trigger: CronTrigger,
    #[serde(default)]
    replace: bool,
}

pub(super) async fn create(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Create { trigger, replace } = arguments(args)?;
    if let Err(reason) = check_schedule(&trigger.schedule) {
        return Err(ApiError::new(Code::ParseFailed, reason).at(JsonPath::root().key("schedule")));
    }
    let triggers = &mut draft.metadata.cron_triggers;
    match (triggers.iter_mut().find(|found| found.name == trigger.name), replace) {
        (Some(found), true) => *found = trigger,
        (None, true) => return Err(no_trigger(&trigger.name)),
        (Some(_), false) => {
            return Err(ApiError::new(
                Code::AlreadyExists,
                format!("cron trigger with name: {} already exists", trigger.name),
            ));
        }
        (None, false) => triggers.push(trigger),
    }
    draft.check(None).await?;
    success()
}

fn no_trigger(name: &str) -> ApiError {
    ApiError::new(Code::NotExists, format!("cron trigger with name: {name} does not exist"))
}

#[derive(Deserialize)]
struct Named {
    name: NonEmpty,
}

pub(super) async fn delete(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Named { name } = arguments(args)?;
    let triggers = &mut draft.metadata.cron_triggers;
    let before = triggers.len();
    triggers.retain(|found| found.name != name);
    if triggers.len() == before {
        return Err(no_trigger(&name));
    }
    draft.check(None).await?;
    success()
}

/// `get_cron_triggers`: every field, also where it has its default.
pub(super) fn list(draft: &Draft<'_>) -> Result<Output, ApiError> {
    let all: Vec<Value> = draft
        .metadata
        .cron_triggers
        .iter()
        .map(|trigger| {
            let retry = json!({"num_retries": 0, "retry_interval_seconds": 10,
                "timeout_seconds": 60, "tolerance_seconds": 21600});
            json!({
                "name": trigger.name,
                "webhook": trigger.webhook,
                "schedule": trigger.schedule,
                "payload": trigger.payload,
                "retry_conf": trigger.retry_conf.clone().unwrap_or(retry),
                "headers": trigger.headers,
                "include_in_metadata": trigger.include_in_metadata,
                "comment": trigger.comment,
                "request_transform": trigger.request_transform,
                "response_transform": trigger.response_transform,
            })
        })
        .collect();
    output(&json!({"cron_triggers": all}))
}

/// The fields of a schedule: name, lowest and highest number, words for numbers.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 0, 7, &DAYS),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Whether a text is a schedule of five fields, as cron(5) has them.
fn check_schedule(schedule: &Arc<str>) -> Result<(), String> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected a cron schedule of five fields, but found \"{schedule}\""));
    }
    for (field, (name, low, high, words)) in fields.iter().zip(FIELDS) {
        let is_value = |text: &str| {
            let number = text.parse().ok().filter(|number| (low..=high).contains(number));
            number.is_some() || words.contains(&&*text.to_ascii_lowercase())
        };
        let is_part = |part: &str| {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let range_fits = range == "*"
                || match range.split_once('-') {
                    Some((from, to)) => is_value(from) && is_value(to),
                    None => is_value(range),
                };
            range_fits && step.parse::<u32>().is_ok_and(|step| step > 0)
        };
        if !field.split(',').all(is_part) {
            return Err(format!("\"{field}\" is no {name} of a cron schedule"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_checked() {
        for good in ["* * * * *", "*/5 0-6,12 1 jan-mar MON", "0 0 1 1 7"] {
            assert_eq!(check_schedule(&good.into()), Ok(()), "{good}");
        }
        for bad in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "a * * * *", "1- * * * *"]
        {
            assert!(check_schedule(&bad.into()).is_err(), "{bad}");
        }
    }
}
