//! Answers become text: services and connections as `ipvsadm` lists them, ports as testpmd does, because those are the
//! tables that operators know.

mod connections;
mod director;
mod events;
mod forward;
mod health;
mod host;
mod insides;
mod network;
mod persistence;
mod ports;
mod services;
mod snat;
mod sync;
#[cfg(test)]
mod tests;
mod units;
mod view;
mod watch;

use crate::protocol::Reply;
use std::fmt::Write;

pub(crate) use director::greeting;
pub(crate) use events::{event, missed};
pub use forward::moved as forward_statistics;
use ports::Earlier;
pub use ports::counters as port_counters;
pub(crate) use units::{short, span};
pub use view::{Columns, View};

/// Writes answers, page by page. Remembers the last counts, for rates since then.
#[derive(Debug, Default)]
pub struct Renderer {
    earlier: Earlier,
    first_page: bool,
    shown: u64,
    looked_at: u64,
    ended: u64,
    silent: Vec<u32>,
    service: Option<String>,
}

impl Renderer {
    /// To be called before the first page of an answer.
    pub fn begin(&mut self) {
        *self =
            Renderer { earlier: std::mem::take(&mut self.earlier), first_page: true, ..Renderer::default() };
    }

    /// One page of an answer as text.
    pub fn page(&mut self, reply: &Reply, view: View, last: bool) -> String {
        let mut text = String::new();
        let first = std::mem::replace(&mut self.first_page, false);
        match reply {
            Reply::Done(done) => done.notes.iter().for_each(|note| {
                let _ = writeln!(text, "{note}");
            }),
            Reply::About(about) => director::about(&mut text, about),
            Reply::Announced(announced) => director::announced(&mut text, announced),
            Reply::Names(names) => director::names(&mut text, names),
            Reply::Configuration(config) => director::configuration(&mut text, config, view),
            Reply::Services(page) => services::page(&mut text, page, view, first, &mut self.service),
            Reply::Overview(overview) => services::overview(&mut text, overview),
            Reply::Health(page) => health::page(&mut text, page, (first, last), &mut self.service),
            Reply::ConnectionCount(count) => connections::count(&mut text, count),
            Reply::Connections(page) => {
                self.shown += page.connections.len() as u64;
                self.looked_at += page.looked_at;
                self.silent.extend(&page.silent_workers);
                connections::page(&mut text, page, first);
                if last {
                    connections::end(&mut text, page, self.shown, self.looked_at, &self.silent);
                }
            }
            Reply::Connection(connection) => connections::detail(&mut text, connection),
            Reply::Flushed(page) => {
                self.ended += page.ended;
                self.silent.extend(&page.silent_workers);
                if last {
                    let _ = writeln!(text, "{} connections ended", self.ended);
                    connections::silence(&mut text, &self.silent);
                }
            }
            Reply::Neighbours(neighbours) => network::neighbours(&mut text, neighbours),
            Reply::Host(host) => host::host(&mut text, host),
            Reply::Peers(peers) => sync::peers(&mut text, peers),
            Reply::Snat(list) => snat::rules(&mut text, list),
            Reply::LocalAddresses(list) => network::local_addresses(&mut text, list),
            Reply::Interfaces(list) => network::interfaces(&mut text, list),
            Reply::Persistence(list) => persistence::clients(&mut text, list),
            Reply::Routes(routes) => network::routes(&mut text, routes),
            Reply::PortInfo(infos) if view == View::Summary => ports::summary(&mut text, infos),
            Reply::PortInfo(infos) => ports::infos(&mut text, infos),
            Reply::PortStats(stats) => ports::statistics(&mut text, stats, &mut self.earlier),
            Reply::PortXstats(xstats) => ports::xstats(&mut text, xstats),
            Reply::PortRss(rss) => ports::rss(&mut text, rss, view),
            Reply::ForwardStats(stats) => forward::moved(&mut text, stats),
            Reply::Drops(drops) => forward::drops(&mut text, drops),
            Reply::Workers(workers) if view == View::Histogram => insides::histogram(&mut text, workers),
            Reply::Workers(workers) => insides::workers(&mut text, workers),
            Reply::Timeouts(timeouts) => connections::timeouts(&mut text, timeouts),
            Reply::Memory(memory) if view == View::Mempool => insides::mempools(&mut text, memory),
            Reply::Memory(memory) => insides::memory(&mut text, memory),
            Reply::Tables(tables) => insides::tables(&mut text, tables),
            Reply::Explanation(explanation) => watch::explanation(&mut text, explanation),
            Reply::Stories(page) => watch::stories(&mut text, page, last),
            Reply::Traces(list) => watch::traces(&mut text, list),
            // For programs: `capture start ... -` takes it.
            Reply::Captured(_) => {}
            Reply::Captures(list) => watch::captures(&mut text, list),
            Reply::Events(page) => events::page(&mut text, page, (first, last)),
        }
        text
    }
}
