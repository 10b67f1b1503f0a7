//! A thousand connections at the same time over two workers, every answer the right one.

use anyhow::Result;
use lb_stories::load::Load;
use lb_stories::{Config, Method, World, world};

#[test]
fn through_nat() -> Result<()> {
    a_thousand(Method::Nat)
}

#[test]
fn through_tun() -> Result<()> {
    a_thousand(Method::Tun)
}

#[test]
fn through_dr() -> Result<()> {
    a_thousand(Method::Dr)
}

fn a_thousand(method: Method) -> Result<()> {
    let world = World::among_few()?;
    let director = world.start(&Config::http())?;
    let service = method.at(world::HTTP);

    let crowd = Load { connections: 1_000, requests: 5 };
    let report = crowd.run(world.client(), service)?;
    println!("{}: {report}", method.word());
    assert!(report.failures.is_empty(), "{:?}", &report.failures[..report.failures.len().min(5)]);
    assert_eq!(report.answers, 5_000);
    for server in world.servers() {
        let count = report.connections.get(server.name()).copied().unwrap_or(0);
        assert!((450..=550).contains(&count), "{report}");
    }

    let status = director.status()?;
    assert_eq!(status.workers.len(), 2, "{}", status.text);
    for worker in &status.workers {
        // Flows are spread by a hash: roughly, but never all to one side.
        assert!(worker.received > 1_000, "{}", status.text);
    }
    assert!(status.total.is_some_and(|total| total >= 1_000), "{}", status.text);
    director.stop()?;
    Ok(())
}
