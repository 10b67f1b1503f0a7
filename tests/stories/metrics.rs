//! A real Prometheus reads the metrics, and works with the alert rules and the dashboard that are shipped.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::process::{Background, PATIENCE, eventually, run};
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

const METRICS: &str = "127.0.0.1:9145";
const PROMETHEUS: &str = "127.0.0.1:9090";

/// What Prometheus answers to a question of its API.
fn ask(world: &World, path: &str, query: &[(&str, &str)]) -> Result<Value> {
    let mut curl = world.director().command("curl");
    curl.args(["-sS", "--noproxy", "*", "--max-time", "5", "-G"]);
    for (name, value) in query {
        curl.arg("--data-urlencode").arg(format!("{name}={value}"));
    }
    let answer = run(curl.arg(format!("http://{PROMETHEUS}/api/v1/{path}")))?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer["status"] == "success", "{query:?}: {answer}");
    Ok(answer["data"].clone())
}

/// The value of a query that has one.
fn value(world: &World, query: &str) -> Result<Option<f64>> {
    let data = ask(world, "query", &[("query", query)])?;
    Ok(data["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()))
}

fn prometheus(world: &World, conf: &Path) -> Result<Background> {
    let directory = world.directory();
    let file = directory.join("prometheus.yml");
    let rules = conf.join("prometheus/lb-app.rules.yml");
    let text = format!(
        "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms }}\n\
         rule_files: [{}]\nscrape_configs: [{{ job_name: lb-app, static_configs: [{{ targets: [\"{METRICS}\"] }}] }}]\n",
        rules.display()
    );
    fs::write(&file, text)?;
    let mut command = world.director().command("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()));
    command.arg(format!("--web.listen-address={PROMETHEUS}"));
    world.director().spawn(&mut command, &directory.join("prometheus.log"))
}

#[test]
fn prometheus_reads_metrics_and_judges_them() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    let check = "check = { type = \"http\", interval = \"100ms\", timeout = \"100ms\", fall = 2 }";
    let service = Service::tcp(Method::Nat, world::HTTP).line(check);
    // The dashboard shows local addresses, too.
    let config = Config::new().service(service).service(Service::tcp(Method::FullNat, world::HTTP));
    let config = config.section(format!("[metrics]\nlisten = \"{METRICS}\""));
    let director = world.start(&config)?;
    let _prometheus = prometheus(&world, &conf)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 40)?;

    let query =
        "sum(lb_server_connections_total{local_address=\"192.0.2.100\", local_port=\"80\", proto=\"TCP\"})";
    let counted = eventually(PATIENCE, || Ok(value(&world, query).ok().flatten() == Some(40.0)))?;
    ensure!(counted, "{query}: {:?}", value(&world, query)?);
    for (query, expected) in [
        ("up", 1.0),
        ("count(lb_server_weight)", 4.0),
        ("sum(lb_health_up)", 2.0),
        ("lb_connections_capacity{family=\"IPv4\"}", 131_072.0),
        ("count(lb_worker_received_packets_total)", 2.0),
        ("count(lb_port_received_packets_total)", 2.0),
        ("count(lb_build_info)", 1.0),
    ] {
        let found = value(&world, query)?;
        ensure!(found == Some(expected), "{query}: {found:?}");
    }
    // Every packet is accounted for, as far as Prometheus can tell: counters are read one after the other.
    let busy = value(&world, "sum(lb_worker_cycles_total{state=\"busy\"})")?;
    ensure!(busy > Some(0.0), "{busy:?}");

    let dashboard: Value = serde_json::from_str(&fs::read_to_string(conf.join("grafana/lb-app.json"))?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let expr = target["expr"].as_str().context("expr")?;
        let expr = expr.replace("$instance", ".*").replace("$__rate_interval", "5s");
        // These have something to show only when something is wrong.
        let quiet = expr.ends_with("> 0") || expr.ends_with("== 0");
        // A rate takes two samples.
        let shown = eventually(PATIENCE, || {
            let answer = ask(&world, "query", &[("query", &expr)])?;
            Ok(quiet || answer["result"].as_array().is_some_and(|found| !found.is_empty()))
        })?;
        ensure!(shown, "{expr} shows nothing");
    }

    world.servers()[0].make_ill(true)?;
    let alerts = || -> Result<Vec<String>> {
        let data = ask(&world, "alerts", &[])?;
        let alerts = data["alerts"].as_array().context("alerts")?;
        Ok(alerts
            .iter()
            .filter_map(|alert| alert["labels"]["alertname"].as_str())
            .map(str::to_owned)
            .collect())
    };
    let alarmed = eventually(PATIENCE, || Ok(alerts()?.contains(&"LbServerDown".to_owned())))?;
    ensure!(alarmed, "{:?}", alerts()?);
    let text =
        world.director().run("curl", &["-sS", "--noproxy", "*", &format!("http://{METRICS}/metrics")])?;
    ensure!(text.contains("lb_health_up{local_address=\"192.0.2.100\""), "{text}");
    println!("a scrape of two servers: {} bytes", text.len());
    director.stop()?;
    Ok(())
}
