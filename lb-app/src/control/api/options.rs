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
        // It has no default to go back to.
        if field.is_required && matches!(&value, Value::List(elements) if elements.is_empty()) {
            return Err(refuse(format!("is empty; write for example {}", field.example)));
        }
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
    use lb_core::service::{
        option::Field,
        plan::{Method, ServerPlan, ServicePlan},
    };
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

    /// For every option that can be set: a value, and what takes it back to what it was, in words of the shell's.
    const BACK: &[(&str, &str, &str)] = &[
        ("description", "\"the shop\"", "\"\""),
        ("from", "\"203.0.113.0/24,198.18.0.0/15\"", "\"all\""),
        ("on", "\"wan,lan\"", "\"all\""),
        ("vips", "\"192.0.2.100,192.0.2.101\"", "\"192.0.2.100\""),
        ("ports", "\"80,8000-8099\"", "\"80\""),
        ("protocols", "\"tcp,udp\"", "\"tcp\""),
        ("local_addresses", "\"198.51.100.20,198.51.100.21\"", "\"none\""),
        ("client_address", "\"proxy-v2\"", "\"none\""),
        ("module", "\"ftp\"", "\"none\""),
        ("tunnel", "\"gue\"", "\"ipip\""),
        ("tunnel_port", "7000", "6080"),
        ("tunnel_checksum", "\"on\"", "\"default\""),
        ("dscp", "12", "0"),
        ("scheduler", "\"mh\"", "\"wlc\""),
        ("hash_port", "true", "false"),
        ("hash_fallback", "true", "false"),
        ("hash_servers", "100", "0"),
        ("adopt", "true", "false"),
        ("mss_clamp", "\"on\"", "\"default\""),
        ("one_packet", "true", "false"),
        ("persistence_timeout", "\"5m\"", "\"0s\""),
        ("persistence_prefix", "24", "128"),
        ("persistence_by", "\"sip-call-id\"", "\"address\""),
        ("persistence_expire_quiescent", "true", "false"),
        ("quic_layout", "\"katran\"", "\"none\""),
        ("fwmark", "7", "0"),
        ("slow_start", "\"30s\"", "\"0s\""),
        ("weight", "7", "1"),
        ("upper_threshold", "100", "0"),
        ("lower_threshold", "80", "0"),
        ("quic_server_ids", "\"ed793a,ed793b\"", "\"none\""),
        ("quic_server_number", "7", "0"),
    ];

    /// Sets each option and takes it back.
    fn there_and_back<P: Clone + PartialEq + std::fmt::Debug>(
        options: &'static [Opt<P>],
        new: &P,
        own: &[(&str, &str, &str)],
    ) {
        for field in options.iter().map(|option| option.field).filter(Field::is_settable) {
            let mut of = new.clone();
            let mut found = own.iter().chain(BACK).filter(|(key, ..)| *key == field.key);
            let (key, there, back) =
                found.next().unwrap_or_else(|| panic!("{} has no way back: say it here", field.key));
            let mut say = |text: &str| {
                let given = Options::from([((*key).to_owned(), serde_json::from_str(text).unwrap())]);
                set(options, &mut of, &given).unwrap_or_else(|why| panic!("{key} {text}: {}", why.message));
                of.clone()
            };
            assert_ne!(say(there), *new, "{key}");
            assert_eq!(say(back), *new, "{key}");
        }
    }

    #[test]
    fn whatever_commands_set_they_take_back() {
        let service = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
        there_and_back(ServicePlan::OPTIONS, &service, &[]);
        let own = [("tunnel", "\"gue\"", "\"default\""), ("tunnel_port", "7000", "0")];
        there_and_back(ServerPlan::OPTIONS, &ServerPlan::new([198, 51, 100, 11], 80, 1), &own);
    }

    #[test]
    fn a_list_is_emptied_by_a_word_or_by_nothing_but_not_one_that_must_be_given() {
        let mut server = ServerPlan::new([198, 51, 100, 11], 80, 1);
        for nothing in [json!("none"), json!(""), json!([])] {
            set(ServerPlan::OPTIONS, &mut server, &given(json!({"quic_server_ids": "ed793a"}))).unwrap();
            assert_eq!(server.quic_server_ids.len(), 1);
            set(ServerPlan::OPTIONS, &mut server, &given(json!({"quic_server_ids": nothing}))).unwrap();
            assert!(server.quic_server_ids.is_empty(), "{nothing}");
        }
        let mut service = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
        let before = service.clone();
        let mut refused = |json| set(ServicePlan::OPTIONS, &mut service, &given(json)).unwrap_err().message;
        let remedy = "vips: is empty; write for example [\"192.0.2.100\", \"192.0.2.101\"]";
        assert_eq!([refused(json!({"vips": "none"})), refused(json!({"vips": []}))], [remedy; 2]);
        assert!(refused(json!({"ports": "none"})).starts_with("ports: \"none\" is not a port"));
        assert!(refused(json!({"ports": []})).starts_with("ports: is empty"));
        assert!(refused(json!({"protocols": []})).starts_with("protocols: is empty"));
        assert!(refused(json!({"local_addresses": "all"})).starts_with("local_addresses: \"all\" is not a"));
        assert!(refused(json!({"from": "203.0.113.0/24,all"})).starts_with("from: \"all\" is not a"));
        assert_eq!(service, before);
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
