"use strict";
// The page of lb-app. It asks the director once a second, one question after the other on one connection, and changes
// nothing. Whatever it shows becomes text, never markup.

const EVERY = 1000;
const SAMPLES = 120;
const STEP = 200;
const OPEN_PER_ROUND = 3;
const EVENTS = 50;

const by = (id) => document.getElementById(id);

// ---- numbers and times

function short(number) {
  for (const [size, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size * 10) return (number / size).toFixed(number >= size * 100 ? 0 : 1) + " " + sign;
  }
  return String(Math.round(number));
}
const whole = (number) => number.toLocaleString("en");
function span(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
}
const endpoint = (address, port) => (address.includes(":") ? "[" + address + "]" : address) + ":" + port;
const bits = (rate) => 8 * (rate.bytes_in_per_s + rate.bytes_out_per_s);
const packets = (rate) => rate.packets_in_per_s + rate.packets_out_per_s;

// ---- the document

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}
function say(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}
function look(node, className) {
  if (node.className !== className) node.className = className;
}
function state(node, word, label) {
  look(node, "state " + word);
  say(node, label || word);
}
function cell(row, at, text, label, className) {
  let node = row.cells[at];
  if (!node) {
    node = row.insertCell();
    if (label) node.dataset.label = label;
    if (className) node.className = className;
  }
  if (text !== undefined) say(node, text);
  return node;
}
// A row for each item, in their order; rows that are there are kept and only moved where the order is another. Rows
// of other kinds may stand between them.
function own(row) {
  while (row && !row.own) row = row.nextElementSibling;
  return row;
}
function rows(body, items, key, fill, create) {
  const known = body.known || (body.known = new Map());
  const seen = new Set();
  let place = own(body.firstElementChild);
  for (const item of items) {
    const name = key(item);
    seen.add(name);
    let row = known.get(name);
    if (!row) {
      row = create ? create(item) : document.createElement("tr");
      row.own = true;
      known.set(name, row);
    }
    if (row === place) place = own(place.nextElementSibling);
    else body.insertBefore(row, place);
    fill(row, item);
  }
  for (const [name, row] of known) {
    if (!seen.has(name)) {
      row.remove();
      known.delete(name);
    }
  }
}

// ---- asking

async function get(subject, parameters) {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch("api/v1/" + subject + (query ? "?" + query : ""), { cache: "no-store" });
  const body = await answer.json();
  if (body.error) throw Object.assign(new Error(body.error.message), { refused: true });
  return Object.values(body.reply)[0];
}

// ---- the head

const figures = {};
function figure(name, title) {
  const value = make("b");
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 " + (SAMPLES - 1) + " 20");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", title + ", the last two minutes");
  const curve = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  picture.append(curve);
  const note = make("span", "quiet");
  const box = make("div", "figure", make("span", "quiet", title), value, note, picture);
  box.id = "figure-" + name;
  by("figures").append(box);
  figures[name] = { value, note, curve, samples: [] };
}
function sample(name, number, text, note) {
  const { value, note: place, curve, samples } = figures[name];
  samples.push(number);
  if (samples.length > SAMPLES) samples.shift();
  const most = Math.max(1, ...samples);
  const points = samples.map((s, at) => SAMPLES - samples.length + at + "," + (19 - 18 * s / most).toFixed(1));
  curve.setAttribute("points", points.join(" "));
  say(value, text);
  say(place, note || "peak " + short(Math.max(...samples)));
}

let last = {};
// What a counter grew by in a second. It may have begun anew.
function rate(name, count, at) {
  const before = last[name];
  last[name] = { count, at };
  if (!before || at <= before.at || count < before.count) return 0;
  return (count - before.count) * 1000 / (at - before.at);
}

function showAbout(about) {
  say(by("name"), "lb-app " + about.version);
  document.title = (about.forwarding ? "" : "stopped - ") + (about.role === "standby" ? "standby - " : "") + "lb-app";
  state(by("forwarding"), about.forwarding ? "up" : "stopped", about.forwarding ? "forwarding" : "stopped");
  state(by("role"), about.role === "active" ? "up" : "drained", about.role);
  by("role").title = about.role === "active" ? "It answers for its VIPs." : "It says nothing for its VIPs.";
  say(by("about"), about.dpdk + ", process " + about.pid + ", up for " + span(about.uptime_ms));
  say(by("configuration"), "configuration " + about.generation + ", file " + about.file_sha256.slice(0, 12));
  by("configuration").title = "SHA-256 of the file that was applied last: " + about.file_sha256;
  const refused = about.file_refused;
  by("refused").hidden = refused === undefined;
  if (refused !== undefined) say(by("refused"), "The configuration file as it is now was refused: " + refused);
  const left = about.unconfirmed_ms;
  by("pending").hidden = left === undefined;
  if (left !== undefined) {
    say(by("pending"), "A reload is pending confirmation: it is rolled back in " + Math.ceil(left / 1000) +
      " s unless `lbctl confirm` comes.");
  }
}

// ---- services

let filter = "";
let limit = STEP;
const open = new Map();
let turn = 0;

function createService(item) {
  const row = document.createElement("tr");
  const button = make("button", "plain");
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => toggle(item.name));
  row.button = button;
  row.where = make("div", "quiet mono");
  row.why = make("div", "why");
  return row;
}

function fillService(row, service) {
  const sign = cell(row, 0);
  if (!sign.firstChild) sign.append(make("span"));
  state(sign.firstChild, service.state, service.state.replace("-", " "));
  const name = cell(row, 1);
  if (!name.firstChild) name.append(row.button, row.where, row.why);
  say(row.button, service.name);
  const at = service.reach ? service.reach.protocols + " " + service.reach.endpoints +
      (service.reach.clients ? " " + service.reach.clients : "")
    : service.protocol + " " + endpoint(service.vip, service.port);
  say(row.where, at + " " + service.method + " " +
    service.scheduler + (service.description ? " \u2013 " + service.description : ""));
  const why = service.failures || [];
  const more = service.down > why.length && why.length > 0 ? "; and " + (service.down - why.length) + " more" : "";
  say(row.why, why.map((one) => endpoint(one.address, one.port) + " is down: " + one.reason).join("; ") + more);
  let servers = service.serving + " of " + service.servers;
  if (service.down) servers += ", " + service.down + " down";
  if (service.drained) servers += ", " + service.drained + " drained";
  cell(row, 2, servers, "Servers");
  const quorum = service.quorum === undefined ? "not checked" : service.quorum ? "reached" : "lost";
  cell(row, 3, quorum, "Quorum");
  cell(row, 4, whole(service.active), "Active", "n");
  cell(row, 5, whole(service.inactive), "Inactive", "n");
  cell(row, 6, short(service.rate.connections_per_s), "New/s", "n");
  cell(row, 7, short(packets(service.rate)), "Packets/s", "n");
  cell(row, 8, short(bits(service.rate)), "bit/s", "n");
  const is = open.has(service.name);
  row.button.setAttribute("aria-expanded", String(is));
  const inner = is && open.get(service.name).row;
  if (is && row.nextElementSibling !== inner) row.after(inner);
}

function toggle(name) {
  const shown = open.get(name);
  if (shown) {
    shown.row.remove();
    open.delete(name);
  } else {
    const body = make("tbody");
    const titles = ["State", "Server", "Weight", "Share", "Active", "Inactive", "New/s", "bit/s", "Check"];
    const head = make("tr", "");
    titles.forEach((title, at) => {
      const th = make("th", at > 1 && at < 8 ? "n" : "", title);
      th.scope = "col";
      head.append(th);
    });
    const explain = make("button", "", "Explain a packet to it");
    explain.type = "button";
    const pool = make("p", "quiet");
    const inner = make("div", "inner", pool, make("table", "", make("thead", "", head), body), explain);
    const td = make("td", "", inner);
    td.colSpan = 9;
    const row = make("tr", "", td);
    open.set(name, { row, body, pool, explain });
    detail(name).catch(() => {});
  }
  const place = by("service-rows").known;
  const above = place && place.get(name);
  if (above) {
    above.button.setAttribute("aria-expanded", String(open.has(name)));
    if (open.has(name)) above.after(open.get(name).row);
  }
  remember();
}

// The word for a server: what checks found, unless its operator wants nothing of it.
function serverState(server, check) {
  if (server.state === "disabled") return "disabled";
  if (check && check.state !== "up") return check.state;
  if (server.state === "drain" || server.configured_weight === 0) return "drained";
  return server.health;
}

async function detail(name) {
  const shown = open.get(name);
  const [service] = (await get("services", { name })).services;
  const [health] = (await get("health", { service: name })).services;
  if (!service || open.get(name) !== shown) return;
  const checks = new Map(health ? health.servers.map((one) => [endpoint(one.address, one.port), one]) : []);
  const weights = service.servers.reduce((sum, server) => sum + server.weight, 0);
  const opened = service.rate.connections_per_s;
  rows(shown.body, service.servers, (server) => endpoint(server.address, server.port), (row, server) => {
    const address = endpoint(server.address, server.port);
    const check = checks.get(address);
    const word = serverState(server, check);
    const sign = cell(row, 0);
    if (!sign.firstChild) sign.append(make("span"));
    let label = word;
    if (server.drains_within_ms !== undefined) label += ", " + span(server.drains_within_ms) + " left";
    state(sign.firstChild, word, label);
    cell(row, 1, address + (server.description ? " \u2013 " + server.description : ""), "", "mono");
    const weight = server.weight === server.configured_weight ? "" : " of " + server.configured_weight;
    cell(row, 2, server.weight + weight, "Weight", "n");
    const wanted = weights ? Math.round(100 * server.weight / weights) + " %" : "0 %";
    const got = opened ? Math.round(100 * server.rate.connections_per_s / opened) + " % of " : "";
    cell(row, 3, got + wanted, "Share", "n");
    cell(row, 4, whole(server.active), "Active", "n");
    cell(row, 5, whole(server.inactive), "Inactive", "n");
    cell(row, 6, short(server.rate.connections_per_s), "New/s", "n");
    cell(row, 7, short(bits(server.rate)), "bit/s", "n");
    let text = "";
    if (check && check.check) {
      text = check.check.kind + ", " + check.role;
      if (check.next_check_ms !== undefined) text += ", next in " + Math.ceil(check.next_check_ms / 1000) + " s";
      if (check.against) text += ", " + check.against + " of " + check.needed + " to change";
      if (check.agent && check.agent.said) text += "; its agent says " + check.agent.said.words;
      if (check.last_failure) {
        text += "; failed " + span(check.last_failure.ago_ms) + " ago: " + check.last_failure.reason;
      }
    }
    cell(row, 8, text, "Check");
  });
  let pool = "not checked";
  if (health) {
    const { quorum } = health;
    pool = "quorum " + (quorum.reached ? "reached" : "lost") + ": weight " + quorum.weight + ", reached at " +
      quorum.reached_at + ", lost below " + quorum.lost_below;
    if (health.sorry_server) {
      pool += "; sorry server " + endpoint(health.sorry_server.address, health.sorry_server.port) +
        (health.sorry_server.serves ? " stands in" : " waits");
    }
    if (health.keeps_last) pool += "; all failed: those that worked last are used";
  }
  say(shown.pool, pool);
  shown.explain.onclick = () => {
    const form = by("explain-form").elements;
    form.protocol.value = service.protocol;
    form.destination.value = endpoint(service.vip, service.port || 80);
    by("explain").scrollIntoView();
    form.source.focus();
  };
}

async function showServices() {
  const asked = filter;
  const overview = await get("overview", { filter, limit });
  if (asked !== filter) return;
  const counts = overview.states.filter((one) => one.services).map((one) =>
    one.services + " " + one.state.replace("-", " "));
  const of = filter ? overview.matching + " of " + overview.total : overview.total;
  say(by("counts"), of + " services" + (counts.length ? ": " + counts.join(", ") : ""));
  by("more").hidden = overview.services.length >= overview.matching || limit >= 1000;
  rows(by("service-rows"), overview.services, (service) => service.name, fillService, createService);
  const names = new Set(overview.services.map((service) => service.name));
  for (const [name, shown] of open) if (!names.has(name)) shown.row.remove();
}

// ---- workers, ports, drops, events

function showWorkers({ workers }, at) {
  rows(by("worker-rows"), workers, (worker) => worker.id, (row, worker) => {
    cell(row, 0, worker.id + " on lcore " + worker.lcore);
    const busy = cell(row, 1, undefined, "Busy");
    if (!busy.firstChild) {
      row.fill = make("span");
      row.busy = make("span");
      busy.append(make("span", "bar", row.fill), row.busy);
    }
    row.fill.style.width = Math.min(100, worker.busy_percent) + "%";
    say(row.busy, worker.busy_percent.toFixed(0) + " %");
    cell(row, 2, short(worker.received_per_s), "Received/s", "n");
    const polls = worker.bursts.filter((burst) => burst.to > 0).reduce((sum, burst) => sum + burst.polls, 0);
    const each = polls ? (worker.received / polls).toFixed(1) : "";
    cell(row, 3, each, "Packets/burst", "n");
    cell(row, 4, whole(worker.connections), "Connections", "n");
    const over = worker.hand_overs.filter((one) => one.packets).map((one) => one.reason + " " + short(one.packets));
    cell(row, 5, over.join(", ") || "nothing", "Handed over");
    cell(row, 6, whole(worker.dropped), "Dropped", "n");
  });
  const sum = (field) => workers.reduce((all, worker) => all + worker[field], 0);
  const created = rate("created", sum("created"), at);
  sample("opened", created, short(created));
  return sum("connections");
}

let infos = new Map();
function showPorts({ at_ns, ports }) {
  const at = at_ns / 1e6;
  let [allPackets, allBits] = [0, 0];
  rows(by("port-rows"), ports, (port) => port.id, (row, port) => {
    const info = infos.get(port.id);
    const of = (field) => rate("port " + port.id + field, port[field], at);
    const figures = ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"].map(of);
    allPackets += figures[0];
    allBits += 8 * figures[1];
    cell(row, 0, port.name + (info ? " (" + info.device + ")" : ""));
    const link = cell(row, 1, undefined, "Link");
    if (!link.firstChild) link.append(make("span"));
    if (info) {
      const speed = info.link_mbps > 0 && info.link_mbps < 4e9 ? " " + short(info.link_mbps * 1e6) + "bit/s" : "";
      if (!info.started) state(link.firstChild, "stopped", "stopped");
      else if (info.link_gone) state(link.firstChild, "gone", "gone");
      else state(link.firstChild, info.link_up ? "up" : "down", info.link_up ? "up" + speed : "down");
    }
    cell(row, 2, short(figures[0]), "Received/s", "n");
    cell(row, 3, short(8 * figures[1]), "bit/s in", "n");
    cell(row, 4, short(figures[2]), "Sent/s", "n");
    cell(row, 5, short(8 * figures[3]), "bit/s out", "n");
    cell(row, 6, whole(port.rx_missed), "Missed", "n");
    cell(row, 7, whole(port.rx_errors + port.tx_errors + port.rx_nombuf), "Errors", "n");
  });
  sample("packets", allPackets, short(allPackets));
  sample("bits", allBits, short(allBits));
}

function showInfos(list) {
  infos = new Map(list.ports.map((port) => [port.id, port]));
  const choice = by("explain-form").elements.port;
  if (choice.options.length === 1) list.ports.forEach((port) => choice.add(new Option(port.name)));
}

function showDrops({ reasons }) {
  reasons.sort((a, b) => b.packets_per_s - a.packets_per_s || b.packets - a.packets);
  by("no-drops").hidden = reasons.length > 0;
  by("drop-table").hidden = reasons.length === 0;
  rows(by("drop-rows"), reasons, (drop) => drop.reason, (row, drop) => {
    cell(row, 0, drop.reason, "", "mono");
    cell(row, 1, drop.meaning);
    cell(row, 2, whole(drop.packets), "Packets", "n");
    cell(row, 3, short(drop.packets_per_s), "Per second", "n");
  });
}

let told = { latest: EVENTS };
async function showEvents() {
  const page = await get("events", told);
  const list = by("event-rows");
  if (told.run !== undefined && told.run !== page.run) list.replaceChildren();
  told = { after: page.after, run: page.run };
  for (const event of page.events) {
    const when = new Date(event.at_ms);
    const time = make("time", "", when.toLocaleTimeString("en-GB"));
    time.dateTime = when.toISOString();
    time.title = when.toISOString();
    const subject = [event.service, event.server].filter(Boolean).join(" ");
    const text = (subject && subject + ": ") + event.text + (event.reason ? ": " + event.reason : "") +
      (event.by ? " (by " + event.by + ")" : "");
    const item = make("li", "", time, make("span", event.severity, event.kind), " ", text);
    if (event.details) item.append(make("ul", "mono", ...event.details.map((line) => make("li", "", line))));
    list.prepend(item);
  }
  while (list.children.length > EVENTS) list.lastElementChild.remove();
}

// ---- explain

async function explain(parameters) {
  const place = by("explanation");
  try {
    const { workers } = await get("explain", parameters);
    place.replaceChildren(...workers.map((told) => {
      const list = make("dl", "");
      let before = "";
      for (const step of told.steps) {
        const of = step.stage === "outcome" ? "outcome" : "mono";
        list.append(make("dt", "", step.stage === before ? "" : step.stage), make("dd", of, step.text));
        before = step.stage;
      }
      return make("div", "inner", make("p", "quiet", "worker " + told.worker), list);
    }));
  } catch (error) {
    place.replaceChildren(make("p", "notice bad", error.message));
  }
}

by("explain-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const parameters = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, value.trim()])
    .filter(([, value]) => value));
  explain(parameters);
  remember(parameters);
});

// ---- links: #filter=down&service=web&explain=tcp,SOURCE,DESTINATION,FLAGS,PORT

let explained = null;
function remember(parameters) {
  if (parameters) {
    const { protocol, source, destination, flags, port } = parameters;
    explained = [protocol, source, destination, (flags || "").replaceAll(",", "+"), port || ""].join(",");
  }
  const link = new URLSearchParams();
  if (filter) link.set("filter", filter);
  for (const name of open.keys()) link.append("service", name);
  if (explained) link.set("explain", explained);
  const text = link.toString();
  history.replaceState(null, "", text ? "#" + text : location.pathname);
}

function follow() {
  if (!location.hash.includes("=")) return;
  const link = new URLSearchParams(location.hash.slice(1));
  const wanted = link.getAll("service");
  filter = link.get("filter") || (wanted.length === 1 ? wanted[0] : "");
  by("filter").value = filter;
  const packet = link.get("explain");
  if (packet) {
    const [protocol, source, destination, flags, port] = packet.split(",");
    const parameters = { protocol, source, destination, flags: (flags || "").replaceAll("+", ","), port: port || "" };
    const form = by("explain-form").elements;
    for (const [name, value] of Object.entries(parameters)) form[name].value = value || "";
    explained = packet;
    explain(Object.fromEntries(Object.entries(parameters).filter(([, value]) => value)));
    by("explain").scrollIntoView();
  }
  for (const name of [...open.keys()]) if (!wanted.includes(name)) toggle(name);
  for (const name of wanted) if (!open.has(name)) toggle(name);
}

let typing;
by("filter").addEventListener("input", (event) => {
  filter = event.target.value.trim();
  limit = STEP;
  clearTimeout(typing);
  typing = setTimeout(() => {
    remember();
    showServices().catch(() => {});
  }, 150);
});
by("more").addEventListener("click", () => {
  limit += STEP;
  showServices().catch(() => {});
});
addEventListener("hashchange", follow);

// ---- once a second

let round = 0;
let since = null;
async function ask() {
  const about = await get("about");
  showAbout(about);
  await showServices();
  const connections = showWorkers(await get("workers"), about.uptime_ms);
  // Each family has tables of its own: it is the fuller one that matters.
  const share = table => table.capacity ? 100 * table.connections / table.capacity : 0;
  const fuller = about.tables.reduce((one, other) => share(other) > share(one) ? other : one);
  const fill = share(fuller).toFixed(1) + " % of " + whole(fuller.capacity) + " for " + fuller.family;
  sample("connections", connections, whole(connections), fill);
  if (round % 5 === 0) showInfos(await get("ports"));
  showPorts(await get("ports", { counters: true }));
  showDrops(await get("drops"));
  await showEvents();
  const names = [...open.keys()];
  for (let at = 0; at < Math.min(OPEN_PER_ROUND, names.length); at++) await detail(names[turn++ % names.length]);
  round++;
}
async function tick() {
  const start = performance.now();
  if (!document.hidden) {
    try {
      await ask();
      since = null;
      by("lost").hidden = true;
    } catch (error) {
      since = since || new Date();
      say(by("lost"), "No answer from the director since " + since.toLocaleTimeString("en-GB") + ": " +
        error.message + ". Trying again every second.");
      by("lost").hidden = false;
    }
  }
  setTimeout(tick, Math.max(200, EVERY - (performance.now() - start)));
}

figure("connections", "Connections");
figure("packets", "Packets/s");
figure("bits", "bit/s");
figure("opened", "New connections/s");
follow();
tick();
