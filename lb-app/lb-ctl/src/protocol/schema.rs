//! The protocol as JSON Schema. The committed files are in `lb-app/lb-ctl/schema/`.

use super::{Call, Return, events::Event};

/// The schema of requests.
#[must_use]
pub fn requests() -> String {
    text(&schemars::schema_for!(Call))
}

/// The schema of a line of `lbctl --json watch`.
#[must_use]
pub fn event() -> String {
    text(&schemars::schema_for!(Event))
}

/// The schema of answers, which is also that of what `--json` prints of all other commands.
#[must_use]
pub fn answers() -> String {
    text(&schemars::schema_for!(Return))
}

fn text(schema: &schemars::Schema) -> String {
    let mut text = serde_json::to_string_pretty(schema).expect("a schema is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn the_committed_schemas_are_those_of_this_version() {
        for (name, schema) in
            [("request.json", requests()), ("reply.json", answers()), ("event.json", event())]
        {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
            if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &schema).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == schema,
                "{name} differs: write it anew with UPDATE_SNAPSHOTS=1 and review it"
            );
        }
    }
}
