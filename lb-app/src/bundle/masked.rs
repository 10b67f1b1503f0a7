//! A configuration without what may be secret: words that operators gave to programs, what checks send and expect, and
//! comments.

use crate::config::health::{Agent, Check, Command, Hooks, Http, Page, Pool, Udp};
use lb_core::service::{
    option::{Field, Kind, fields},
    plan::QuicConfig,
};
use toml::{Table, Value};

/// What stands for it.
const MASK: &str = "(masked)";

/// The text without secrets and comments.
///
/// # Errors
/// When it is not TOML. Nothing of it is in the message.
pub(super) fn masked(text: &str) -> Result<String, String> {
    let mut table: Table = text.parse().map_err(|_| "not valid TOML; doctor.txt says where".to_owned())?;
    mask_table(&mut table);
    toml::to_string(&table).map_err(|error| error.to_string())
}

/// Options whose values may be secret.
fn secrets() -> impl Iterator<Item = &'static Field> {
    let checks = [
        fields(Check::OPTIONS),
        fields(Page::OPTIONS),
        fields(Http::OPTIONS),
        fields(Udp::OPTIONS),
        fields(Command::OPTIONS),
        fields(Agent::OPTIONS),
    ];
    let others = [fields(Pool::OPTIONS), fields(Hooks::OPTIONS), fields(QuicConfig::OPTIONS)];
    let all = checks.into_iter().chain(others).flatten();
    all.filter(|field| {
        matches!(
            field.kind,
            Kind::Program | Kind::Payload | Kind::Hexadecimal | Kind::Pattern | Kind::UrlPath | Kind::Key
        )
    })
}

fn mask_table(table: &mut Table) {
    for (key, value) in table {
        match secrets().find(|field| field.key == key) {
            Some(field) => mask(&field.kind, value),
            None => descend(value),
        }
    }
}

fn descend(value: &mut Value) {
    match value {
        Value::Table(table) => mask_table(table),
        Value::Array(values) => values.iter_mut().for_each(descend),
        _ => {}
    }
}

fn mask(kind: &Kind, value: &mut Value) {
    match (kind, value) {
        // The program itself is none.
        (Kind::Program, Value::Array(words)) => {
            words.iter_mut().skip(1).for_each(|word| *word = MASK.into());
        }
        (Kind::UrlPath, Value::String(path)) => {
            if let Some(at) = path.find('?') {
                path.replace_range(at + 1.., MASK);
            }
        }
        (_, value) => *value = MASK.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_in_it() {
        let text = r#"# password: SECRET
            [health]
            hook = ["/usr/bin/notify", "--token", "SECRET"]
            [[services]]
            name = "web"  # SECRET
            quic = { layout = "quic-lb", configs = [{ nonce_length = 4, key = "5EC12E7A" }] }
            check = { type = "http", path = "/up?key=SECRET", body = "SECRET", host = "www" }
            health = { quorum_up = ["/bin/up", "SECRET"] }
            [[services.servers]]
            address = "198.51.100.11"
            check = { type = "udp", payload_hex = "5EC12E7A", payload = "SECRET", expect = "SECRET" }
            [[services.servers]]
            agent = { type = "tcp", port = 8100, send = "SECRET" }
            check = { type = "http", urls = [{ path = "/a?SECRET", body = "SECRET" }] }
            [[services.servers]]
            check = { type = "command", command = ["/bin/check", "-p", "SECRET"], user = "nobody" }
        "#;
        let masked = masked(text).unwrap();
        assert!(!masked.contains("SECRET") && !masked.contains("5EC1"), "{masked}");
        for kept in [
            "/usr/bin/notify",
            "/up?(masked)",
            "/bin/check",
            "198.51.100.11",
            "nobody",
            "www",
            "quorum_up",
            "quic-lb",
        ] {
            assert!(masked.contains(kept), "no {kept} in {masked}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_left_out() {
        assert!(!masked("password = SECRET").unwrap_err().contains("SECRET"));
    }
}
