//! Changing the text of a configuration file so that it says what a plan says: only what is different is touched.

use lb_core::service::{
    check::shown,
    option::{self, Opt},
    plan::{DirectorPlan, Plan, RoutePlan, ServerPlan, ServicePlan, SnatPlan, VipPlan, timeouts::TIMEOUTS},
};
use std::{collections::HashMap, hash::Hash};
use thiserror::Error;
use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value, value,
};

/// Why a text cannot be changed.
#[derive(Debug, Error)]
pub(super) enum RewriteError {
    #[error(transparent)]
    Toml(#[from] toml_edit::TomlError),
    #[error("{0} is not written as a table")]
    NoTable(&'static str),
}

/// How much a file has of each list, and whether it has the table of timeouts.
pub(super) struct Counts {
    pub(super) routes: usize,
    pub(super) services: usize,
    pub(super) vips: usize,
    pub(super) snat: usize,
    pub(super) has_timeouts: bool,
}

/// Counts what is in a file.
pub(super) fn counts(text: &str) -> Result<Counts, RewriteError> {
    let document: DocumentMut = text.parse()?;
    let count = |key: &str| tables(document.get(key)).len();
    Ok(Counts {
        routes: count("routes"),
        services: count("services"),
        vips: count("vips"),
        snat: count("snat"),
        has_timeouts: document.contains_key("timeouts"),
    })
}

/// The text of a file that says `said`, with what is different in `plan`. Where one value decides about others, it is
/// written first, and what is still different has to be written by another call.
pub(super) fn write(text: &str, said: &Plan, plan: &Plan) -> Result<String, RewriteError> {
    let mut document: DocumentMut = text.parse()?;
    if said.timeouts != plan.timeouts {
        // They are those of services that say nothing else.
        let table = document.entry("timeouts").or_insert_with(|| Item::Table(Table::new()));
        let table = table.as_table_like_mut().ok_or(RewriteError::NoTable("timeouts"))?;
        write_options(table, TIMEOUTS, (&said.timeouts, false), &plan.timeouts);
        return Ok(document.to_string());
    }
    if said.director != plan.director {
        let table = document.entry("director").or_insert_with(|| Item::Table(Table::new()));
        let table = table.as_table_like_mut().ok_or(RewriteError::NoTable("director"))?;
        write_options(table, DirectorPlan::OPTIONS, (&said.director, false), &plan.director);
    }
    write_tables(
        &mut document,
        "routes",
        (&said.routes, &plan.routes),
        |route| route.to,
        |table, before, route| {
            write_route(table, before, route, plan);
            Ok(())
        },
    )?;
    write_tables(
        &mut document,
        "services",
        (&said.services, &plan.services),
        ServicePlan::key,
        |table, before, service| {
            // What a file says nothing about is the default.
            let default = ServicePlan {
                timeouts: said.timeouts,
                ..ServicePlan::new("", service.key(), service.method)
            };
            write_options(
                table,
                ServicePlan::OPTIONS,
                (before.unwrap_or(&default), before.is_none()),
                service,
            );
            write_servers(table, before, service)
        },
    )?;
    write_tables(
        &mut document,
        "vips",
        (&said.vips, &plan.vips),
        |vip| vip.address,
        |table, before, vip| {
            let default = VipPlan::new(vip.address);
            write_options(table, VipPlan::OPTIONS, (before.unwrap_or(&default), before.is_none()), vip);
            Ok(())
        },
    )?;
    write_tables(
        &mut document,
        "snat",
        (&said.snat, &plan.snat),
        |rule| rule.name.clone(),
        |table, before, rule| {
            let default = SnatPlan::new("");
            write_options(table, SnatPlan::OPTIONS, (before.unwrap_or(&default), before.is_none()), rule);
            Ok(())
        },
    )?;
    Ok(document.to_string())
}

/// Writes an array of tables: those that are kept, with what is different, and new ones.
fn write_tables<T: PartialEq, K: Hash + Eq>(
    document: &mut DocumentMut,
    key: &str,
    (said, wanted): (&[T], &[T]),
    known_by: impl Fn(&T) -> K,
    write: impl Fn(&mut Table, Option<&T>, &T) -> Result<(), RewriteError>,
) -> Result<(), RewriteError> {
    if said == wanted {
        return Ok(());
    }
    let old = tables(document.get(key));
    let at: HashMap<K, usize> = said.iter().map(&known_by).zip(0..).collect();
    let at: Vec<Option<usize>> = wanted.iter().map(|thing| at.get(&known_by(thing)).copied()).collect();
    let mut new = Vec::with_capacity(wanted.len());
    for (thing, &at) in wanted.iter().zip(&at) {
        let mut table = at.and_then(|at| old.get(at).cloned()).unwrap_or_default();
        if at.is_none_or(|at| said[at] != *thing) {
            write(&mut table, at.map(|at| &said[at]), thing)?;
        }
        new.push(table);
    }
    let new = in_order(new, &at);
    if new.is_empty() {
        document.remove(key);
    } else {
        document.insert(key, Item::ArrayOfTables(new));
    }
    Ok(())
}

/// The tables, which were at these places before. The text has them where they were, unless that is another order.
fn in_order(mut tables: Vec<Table>, at: &[Option<usize>]) -> ArrayOfTables {
    let first_new = at.iter().position(Option::is_none).unwrap_or(at.len());
    let is_in_order = at.iter().flatten().is_sorted() && at[first_new..].iter().all(Option::is_none);
    if !is_in_order {
        tables.iter_mut().for_each(unplace);
    }
    tables.into_iter().collect()
}

/// The table has no place in the text any more: it comes after the one before it.
fn unplace(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => unplace(inner),
            Item::ArrayOfTables(inner) => inner.iter_mut().for_each(unplace),
            Item::None | Item::Value(_) => {}
        }
    }
}

fn write_route(table: &mut Table, before: Option<&RoutePlan>, route: &RoutePlan, plan: &Plan) {
    if before.is_none() {
        table.insert("to", value(shown(route.to)));
    }
    assign(table, "via", route.via.to_string().into());
    match route.interface.and_then(|on| plan.interface(on)) {
        Some(on) => assign(table, "interface", on.name.clone().into()),
        None => drop(table.remove("interface")),
    }
}

/// Writes the options that are different from `before`, and of something new also what is required.
fn write_options<P>(
    table: &mut dyn TableLike,
    options: &'static [Opt<P>],
    (before, is_new): (&P, bool),
    after: &P,
) {
    for option in options.iter().filter(|option| option.field.is_in_file()) {
        let (key, values) = (option.field.key, ((option.get)(before), (option.get)(after)));
        match values {
            (before, after) if before == after && !(is_new && option.field.is_required) => {}
            (Some(option::Value::Table(before)), Some(option::Value::Table(after))) => {
                write_pairs(table, key, &before, &after);
            }
            (_, Some(value)) => assign(table, key, written(&value)),
            (_, None) => drop(table.remove(key)),
        }
    }
}

/// A table of values.
type Pairs = [(&'static str, option::Value)];

/// Writes what is different of an option that is a table itself.
fn write_pairs(table: &mut dyn TableLike, key: &str, before: &Pairs, after: &Pairs) {
    if table.get(key).is_none_or(|item| !item.is_table_like()) {
        table.insert(key, Item::Value(InlineTable::new().into()));
    }
    let Some(inner) = table.get_mut(key).and_then(Item::as_table_like_mut) else { return };
    for (key, value) in after.iter().filter(|pair| !before.contains(pair)) {
        assign(inner, key, written(value));
    }
    for (key, _) in before.iter().filter(|(key, _)| after.iter().all(|(other, _)| other != key)) {
        inner.remove(key);
    }
}

/// A value as the file's editor has it.
fn written(value: &option::Value) -> Value {
    match value {
        option::Value::Flag(flag) => (*flag).into(),
        option::Value::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX).into(),
        option::Value::Secret(text) => text.as_str().into(),
        option::Value::Text(_)
        | option::Value::Duration(_)
        | option::Value::Address(_)
        | option::Value::Endpoint(_) => value.plain().into(),
        option::Value::List(values) => Array::from_iter(values.iter().map(written)).into(),
        option::Value::Table(pairs) => {
            InlineTable::from_iter(pairs.iter().map(|(key, value)| (*key, written(value)))).into()
        }
    }
}

fn write_servers(
    table: &mut Table,
    said: Option<&ServicePlan>,
    service: &ServicePlan,
) -> Result<(), RewriteError> {
    let before: &[ServerPlan] = said.map_or(&[], |said| &said.servers);
    if before == service.servers {
        return Ok(());
    }
    let at: HashMap<_, usize> = before.iter().map(ServerPlan::endpoint).zip(0..).collect();
    let at: Vec<Option<usize>> =
        service.servers.iter().map(|server| at.get(&server.endpoint()).copied()).collect();
    let said = |at: Option<usize>| at.map(|at| &before[at]);
    if let Some(Item::Value(Value::Array(array))) = table.get_mut("servers") {
        let old = array.clone();
        let mut servers = Array::new();
        servers.set_trailing(old.trailing().clone());
        servers.set_trailing_comma(old.trailing_comma());
        for (server, &at) in service.servers.iter().zip(&at) {
            let kept = at.and_then(|at| old.get(at).cloned());
            let mut one = kept.unwrap_or_else(|| {
                let mut one = Value::from(InlineTable::new());
                if let Some(last) = old.iter().last() {
                    *one.decor_mut() = last.decor().clone();
                }
                one
            });
            let inline = one.as_inline_table_mut().ok_or(RewriteError::NoTable("a server"))?;
            write_server(inline, said(at), service, server);
            servers.push_formatted(one);
        }
        *array = servers;
        return Ok(());
    }
    let old = tables(table.get("servers"));
    let servers = service.servers.iter().zip(&at).map(|(server, &at)| {
        let mut one = at.and_then(|at| old.get(at).cloned()).unwrap_or_default();
        write_server(&mut one, said(at), service, server);
        one
    });
    let servers = in_order(servers.collect(), &at);
    if servers.is_empty() {
        table.remove("servers");
    } else {
        table.insert("servers", Item::ArrayOfTables(servers));
    }
    Ok(())
}

/// Writes what is different of a server.
fn write_server(
    table: &mut dyn TableLike,
    said: Option<&ServerPlan>,
    service: &ServicePlan,
    server: &ServerPlan,
) {
    let default = ServerPlan::new(server.address, service.default_server_port(), 1);
    let before = (said.unwrap_or(&default), said.is_none());
    write_options(table, ServerPlan::OPTIONS, before, server);
}

/// Changes a value and keeps what stands around it.
fn assign(table: &mut dyn TableLike, key: &str, mut to: Value) {
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *to.decor_mut() = old.decor().clone();
    } else if let Some((_, Item::Value(last))) = table.iter_mut().last()
        && let Some(blank) = last.decor().suffix().and_then(RawString::as_str).map(str::to_owned)
        && blank.trim().is_empty()
    {
        // What is before the end of a table on one line.
        last.decor_mut().set_suffix("");
        to.decor_mut().set_suffix(blank);
    }
    table.insert(key, Item::Value(to));
}

/// The tables of an array, however it is written.
fn tables(array: Option<&Item>) -> Vec<Table> {
    match array {
        Some(Item::ArrayOfTables(tables)) => tables.iter().cloned().collect(),
        Some(Item::Value(Value::Array(array))) => {
            let inline = array.iter().filter_map(Value::as_inline_table);
            inline.map(|table| table.clone().into_table()).collect()
        }
        _ => Vec::new(),
    }
}
