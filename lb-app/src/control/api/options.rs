//! Options that requests set and answers have, by the tables of what they are options of.

use crate::config::options::read_text;
use lb_core::service::option::{Opt, Value};
use lb_ctl::{
    near::nearest,
    protocol::{Code, Refusal, options::Options},
};
use serde_json::Value as Json;

/// Sets the options that are given.
pub(super) fn set<P>(options: &'static [Opt<P>], into: &mut P, given: &Options) -> Result<(), Refusal> {
    let settable = || options.iter().filter(|option| option.field.is_settable());
    let known: Vec<&str> = settable().map(|option| option.field.key).collect();
    if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
        let remedy = match nearest(unknown, &known) {
            Some(key) => format!("did you mean {key}?"),
            None => format!("known: {}", known.join(", ")),
        };
        return Err(Refusal::new(Code::Invalid, format!("unknown option {unknown:?}; {remedy}")));
    }
    // In the order of the table, since the default of one may follow from another.
    for Opt { field, set, .. } in settable() {
        let Some(value) = given.get(field.key).filter(|value| !value.is_null()) else { continue };
        let refuse = |what: String| Refusal::new(Code::Invalid, format!("{}: {what}", field.key));
        // JSON writes plain values as TOML does.
        let value = read_text(&field.kind, &value.to_string())
            .map_err(|complaint| refuse(format!("{}; {}", complaint.what, complaint.remedy)))?;
        if !set(into, &value) {
            return Err(refuse(format!("{value} has the wrong type")));
        }
    }
    Ok(())
}

/// All options that can be set, with their values.
pub(super) fn values<P>(options: &'static [Opt<P>], of: &P) -> Options {
    let settable = options.iter().filter(|option| option.field.is_settable());
    settable.filter_map(|option| Some((option.field.key.to_owned(), json(&(option.get)(of)?)))).collect()
}

fn json(value: &Value) -> Json {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Number(number) => (*number).into(),
        Value::List(values) => values.iter().map(json).collect(),
        Value::Table(pairs) => pairs.iter().map(|(key, value)| ((*key).to_owned(), json(value))).collect(),
        Value::Text(_) | Value::Secret(_) | Value::Duration(_) | Value::Address(_) | Value::Endpoint(_) => {
            value.plain().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::plan::{Method, ServerPlan, ServicePlan};
    use serde_json::json;

    fn given(json: Json) -> Options {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn options_are_set_and_told_by_the_table() {
        let mut service = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
        let wanted = given(json!({"hash_port": true, "scheduler": "mh", "slow_start": "30s", "adopt": null}));
        set(ServicePlan::OPTIONS, &mut service, &wanted).unwrap();
        let told = values(ServicePlan::OPTIONS, &service);
        for (key, value) in
            [("hash_port", json!(true)), ("slow_start", json!("30s")), ("adopt", json!(false))]
        {
            assert_eq!(told.get(key), Some(&value), "{key}");
        }
        set(ServicePlan::OPTIONS, &mut service, &given(json!({"scheduler": "rr"}))).unwrap();
        assert!(!service.hash_port, "rr hashes nothing");
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_a_remedy() {
        let mut server = ServerPlan::new([198, 51, 100, 11], 80, 1);
        let mut refused = |json| set(ServerPlan::OPTIONS, &mut server, &given(json)).unwrap_err().message;
        assert_eq!(refused(json!({"weighd": 3})), "unknown option \"weighd\"; did you mean weight?");
        assert_eq!(
            refused(json!({"address": "192.0.2.1"})),
            "unknown option \"address\"; known: weight, description, upper_threshold, lower_threshold, tunnel, tunnel_port, tunnel_checksum, quic_server_ids, quic_server_number"
        );
        assert_eq!(refused(json!({"weight": 65_536})), "weight: 65536 is out of range; use 0 to 65535");
        assert_eq!(refused(json!({"weight": "3"})), "weight: is text, not a whole number; use 0 to 65535");
        assert_eq!(refused(json!({"weight": {"a": 1}})), "weight: {\"a\":1} is no value; write one");
        assert_eq!(server.weight, 1);
    }
}
