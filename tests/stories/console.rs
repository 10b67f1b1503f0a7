//! The page: over HTTP, and in headless Chromium as people see it.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lb_stories::browser::Browser;
use lb_stories::config::Service;
use lb_stories::process::{PATIENCE, eventually, run};
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

const LISTEN: &str = "127.0.0.1:9145";

fn with_page(config: Config) -> Config {
    config.section(format!("[metrics]\nlisten = \"{LISTEN}\"\nconsole = true"))
}

/// What curl prints of an address, headers included.
fn curl(world: &World, arguments: &[&str], path: &str) -> Result<String> {
    let mut curl = world.director().command("curl");
    curl.args(["-sS", "-i", "--noproxy", "*", "--max-time", "10", "-g"]).args(arguments);
    run(curl.arg(format!("http://{LISTEN}{path}")))
}

/// An answer's status line, headers and body.
fn parts(answer: &str) -> Result<(&str, String, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the headers")?;
    let (status, headers) = head.split_once("\r\n").context("no headers")?;
    Ok((status, headers.to_lowercase(), body))
}

#[test]
fn the_page_is_served_read_only() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let director = world.start(&with_page(config.clone()))?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 10)?;

    let page = curl(&world, &[], "/")?;
    let (status, headers, body) = parts(&page)?;
    ensure!(status == "HTTP/1.1 200 OK" && body.contains("<title>lb-app</title>"), "{page}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
    ] {
        ensure!(headers.contains(header), "{header}: {headers}");
    }
    ensure!(!headers.contains("access-control"), "{headers}");
    for file in ["/console.js", "/console.css", "/icon.svg"] {
        ensure!(curl(&world, &[], file)?.starts_with("HTTP/1.1 200 OK"), "{file}");
    }
    let head = curl(&world, &["--head"], "/")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK") && !head.contains("<title>"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = curl(&world, &["-X", method], "/api/v1/about")?;
        let (status, headers, _) = parts(&answer)?;
        ensure!(status.contains(" 405 ") && headers.contains("allow: get, head"), "{method}: {answer}");
    }

    // What it asks is answered as on the control socket.
    let schema: Value = serde_json::from_str(&lb_ctl::protocol::schema::answers())?;
    let schema = jsonschema::validator_for(&schema)?;
    for (path, words) in [
        ("about", "\"forwarding\":true"),
        ("overview", "\"state\":\"up\""),
        ("overview?filter=no-such-thing", "\"matching\":0"),
        ("services?name=tcp-nat-80", "198.51.100.11"),
        ("health", "\"health\""),
        ("workers", "\"busy_percent\""),
        ("ports", "\"link_up\":true"),
        ("ports?counters=true", "\"rx_packets\""),
        ("drops", "\"drops\""),
        ("events?latest=50", "\"kind\":\"started\""),
        ("explain?protocol=tcp&source=192.0.2.10:4000&destination=192.0.2.100:80", "\"outcome\""),
    ] {
        let answer = curl(&world, &[], &format!("/api/v1/{path}"))?;
        let (status, headers, body) = parts(&answer)?;
        ensure!(status == "HTTP/1.1 200 OK" && body.contains(words), "{path}: {answer}");
        ensure!(headers.contains("content-type: application/json"), "{path}: {headers}");
        let answer = serde_json::from_str(body)?;
        ensure!(schema.is_valid(&answer), "{path}: {body}");
    }
    for (path, status, words) in [
        ("services?name=nonsense", " 404 ", "unknown service"),
        ("quit", " 404 ", "unknown subject"),
        ("about?x=1", " 400 ", "unknown parameter"),
        ("explain?protocol=tcp&source=x&destination=192.0.2.100:80", " 400 ", "source"),
    ] {
        let answer = curl(&world, &[], &format!("/api/v1/{path}"))?;
        ensure!(parts(&answer)?.0.contains(status) && answer.contains(words), "{path}: {answer}");
    }
    // A head that has no end.
    let long = format!("/api/v1/overview?filter={}", "x".repeat(64 << 10));
    let answer = curl(&world, &[], &long)?;
    ensure!(!answer.starts_with("HTTP/1.1 200"), "{}", &answer[..answer.len().min(200)]);
    ensure!(curl(&world, &[], "/metrics")?.contains("lb_build_info"), "metrics are there as well");
    director.stop()?;

    // It is off unless it is wanted.
    let director = world.start(&config.section(format!("[metrics]\nlisten = \"{LISTEN}\"")))?;
    ensure!(curl(&world, &[], "/")?.contains("metrics are at /metrics"), "no page");
    ensure!(curl(&world, &[], "/api/v1/about")?.starts_with("HTTP/1.1 404"), "no answers");
    director.stop()?;
    Ok(())
}

/// A hundred services of a hundred servers, one of which is down.
fn many() -> String {
    let mut text = String::new();
    for service in 0..100 {
        let check = match service {
            42 => "{ type = \"tcp\", port = 9, interval = \"200ms\", timeout = \"200ms\", fall = 1 }",
            _ => "{ type = \"none\" }",
        };
        text += &format!(
            "[[services]]\nname = \"shop-{service:03}\"\nvip = \"192.0.2.100\"\nport = {}\nprotocol = \"tcp\"\n\
             method = \"nat\"\nservers = [{{ address = \"198.51.100.11\", check = {check} }}",
            1_000 + service
        );
        for server in 1..100 {
            text += &format!(", {{ address = \"198.51.100.12\", port = {} }}", 2_000 + server);
        }
        text += "]\n\n";
    }
    text
}

/// Writes what is to be seen into a file, if somebody wants pictures.
fn photograph(browser: &mut Browser, name: &str) -> Result<()> {
    let Some(directory) = std::env::var_os("LB_PICTURES") else { return Ok(()) };
    let file = fs::File::create(std::path::Path::new(&directory).join(name))?;
    let mut decode = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(file).spawn()?;
    std::io::Write::write_all(&mut decode.stdin.take().context("a pipe")?, browser.picture()?.as_bytes())?;
    ensure!(decode.wait()?.success(), "base64 failed");
    Ok(())
}

#[test]
#[ignore = "takes Chromium: make test-console"]
fn people_see_what_is_wrong_first() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let director = world
        .start(&with_page(Config::new().service(Service::tcp(Method::Nat, world::HTTP)).section(many())))?;
    let target = Method::Nat.at(world::HTTP);
    world.client().who_answers(target, 20)?;
    let mut browser = Browser::start(world.director(), world.directory())?;
    browser.look(1_100, 620, false)?;
    browser.open(&format!("http://{LISTEN}/"))?;

    // What is wrong comes first, with a word, a sign and the reason.
    let first = "document.querySelector('#service-rows tr')?.innerText || ''";
    browser.becomes(&format!("({first}).includes('shop-042')"))?;
    browser.becomes(&format!("({first}).includes('degraded')"))?;
    browser
        .becomes(&format!("({first}).includes('198.51.100.11:1042 is down: it refused the connection')"))?;
    browser.becomes(
        "getComputedStyle(document.querySelector('.state.degraded'), '::before').content.includes('▲')",
    )?;
    browser.becomes(
        "document.getElementById('counts').innerText.startsWith('101 services: 1 degraded, 100 up')",
    )?;
    for text in
        ["DPDK", "up for", "configuration", "forwarding", "of 131,072", "1 on lcore 2", "up 10.0 Gbit/s"]
    {
        let text = serde_json::to_string(text)?;
        browser.becomes(&format!("document.body.innerText.includes({text})"))?;
    }
    browser.becomes("document.querySelectorAll('#port-rows tr').length === 2")?;
    browser.becomes("document.querySelectorAll('#event-rows > li').length > 1")?;
    browser.becomes("document.querySelector('#event-rows').innerText.includes('server is down')")?;
    browser.becomes("document.querySelector('polyline').getAttribute('points').split(' ').length > 3")?;
    if std::env::var_os("LB_PICTURES").is_some() {
        // Something to be seen.
        for _ in 0..40 {
            world.client().who_answers(target, 40)?;
        }
    }
    photograph(&mut browser, "console.webp")?;

    // By keyboard: to the first service, and its hundred servers open.
    browser.value("document.querySelector('#service-rows button').focus()")?;
    browser.press("Enter", "\r")?;
    browser.becomes("document.querySelectorAll('.inner tbody tr').length === 100")?;
    browser
        .becomes("document.querySelector('#service-rows button').getAttribute('aria-expanded') === 'true'")?;
    browser.becomes("document.querySelector('.inner').innerText.includes('it refused the connection')")?;
    browser.becomes("location.hash === '#service=shop-042'")?;
    // Nothing that stays the same is made anew.
    browser.value("window.row = document.querySelector('.inner tbody tr'); true")?;
    browser.value("new Promise((done) => setTimeout(() => done(true), 2500))")?;
    browser.becomes("window.row === document.querySelector('.inner tbody tr') && window.row.isConnected")?;
    // Twenty of them open: 2,000 rows, and no frame takes long.
    browser.value(
        "[...document.querySelectorAll('#service-rows button.plain')].slice(1, 20).forEach((button) => button.click()); true",
    )?;
    browser.becomes("document.querySelectorAll('.inner tbody tr').length === 2000")?;
    let slowest = browser.value(
        "new Promise((done) => { let [last, most, end] = [performance.now(), 0, performance.now() + 3000]; \
         const frame = (now) => { most = Math.max(most, now - last); last = now; \
         now < end ? requestAnimationFrame(frame) : done(most); }; requestAnimationFrame(frame); })",
    )?;
    let slowest = slowest.as_f64().context("a number")?;
    println!("the slowest frame took {slowest:.0} ms with 2,000 servers open");
    ensure!(slowest < 1_000.0, "a frame took {slowest} ms");

    // The filter, also of servers, and links.
    let type_filter = |browser: &mut Browser, text: &str| {
        browser.value(&format!(
            "(() => {{ const field = document.getElementById('filter'); field.value = {}; \
             field.dispatchEvent(new Event('input')); return true; }})()",
            serde_json::to_string(text).unwrap_or_default()
        ))
    };
    let shown = "[...document.querySelectorAll('#service-rows button.plain')].map((button) => button.innerText.trim())";
    type_filter(&mut browser, "shop-01")?;
    browser
        .becomes(&format!("{shown}.length === 10 && {shown}.every((name) => name.startsWith('shop-01'))"))?;
    type_filter(&mut browser, "198.51.100.11:1042 down")?;
    browser.becomes(&format!("{shown}.join() === 'shop-042'"))?;
    browser.open(&format!("http://{LISTEN}/#filter=192.0.2.100:80&service=tcp-nat-80"))?;
    browser.becomes(&format!("{shown}.join() === 'tcp-nat-80'"))?;
    browser.becomes("document.querySelectorAll('.inner tbody tr').length === 2")?;

    // Explanations, also by a link, and what is wrong with a question.
    browser.open(&format!("http://{LISTEN}/#explain=tcp,192.0.2.10:40000,192.0.2.100:80,syn,"))?;
    browser
        .becomes("[...document.querySelectorAll('.outcome')].at(-1).innerText.startsWith('sent on lan')")?;
    browser.value(
        "(() => { const form = document.getElementById('explain-form'); form.elements.destination.value = '<b>x</b>'; \
         form.requestSubmit(); return true; })()",
    )?;
    browser.becomes("document.querySelector('#explanation .bad')?.innerText.includes('<b>x</b>')")?;

    // What others have a say in is text: a filter, and answers of every kind.
    browser.open(&format!("http://{LISTEN}/#filter=<img src=x onerror=window.harmed=1>"))?;
    browser.becomes("document.getElementById('counts').innerText.startsWith('0 of 101')")?;
    browser.value(
        "(() => { const real = window.fetch; window.fetch = async (address, how) => { const answer = await real(address, how); \
         const text = (await answer.text()).replaceAll(/\"(text|kind|reason|meaning|name|version|dpdk|device|scheduler)\":\"/g, \
         '\"$1\":\"<img src=x onerror=window.harmed=1><script>window.harmed=1</script>'); \
         return { json: async () => JSON.parse(text) }; }; return true; })()",
    )?;
    type_filter(&mut browser, "")?;
    browser.becomes("document.querySelector('#service-rows').innerText.includes('<img src=x')")?;
    browser.becomes("document.querySelector('h1').innerText.includes('<script>')")?;
    browser.becomes("document.querySelectorAll('img').length === 0 && window.harmed === undefined")?;

    // In the dark, and on a telephone.
    browser.look(1_100, 620, true)?;
    browser.open(&format!("http://{LISTEN}/#service=shop-042"))?;
    browser.becomes("getComputedStyle(document.body).backgroundColor === 'rgb(15, 19, 23)'")?;
    browser.becomes("document.querySelectorAll('.inner tbody tr').length === 100")?;
    photograph(&mut browser, "console-dark.webp")?;
    browser.look(375, 812, false)?;
    browser.open(&format!("http://{LISTEN}/"))?;
    browser.becomes(&format!("({first}).includes('shop-042')"))?;
    browser.becomes("document.documentElement.scrollWidth <= 375")?;
    photograph(&mut browser, "console-narrow.webp")?;

    // Nobody else was asked, and nothing was wrong.
    let elsewhere: Vec<String> = browser
        .requests()?
        .into_iter()
        .filter(|address| !address.starts_with(&format!("http://{LISTEN}/")) && address != "about:blank")
        .collect();
    ensure!(elsewhere.is_empty(), "{elsewhere:?}");
    // Chromium notes the question that was refused.
    let refused = |said: &String| said.contains("status of 404") && said.contains("/api/v1/explain?");
    let complaints: Vec<String> = browser.complaints()?.into_iter().filter(|said| !refused(said)).collect();
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));

    // A script of somebody else's would not run.
    browser.value(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.harmed = 1'; \
         document.head.append(script); return true; })()",
    )?;
    browser.becomes("window.harmed === undefined")?;
    ensure!(browser.complaints()?.iter().any(|said| said.contains("Content Security Policy")), "no policy");

    // The director ends: the page says so, and goes on when it is back.
    director.stop()?;
    browser.becomes("!document.getElementById('lost').hidden")?;
    let again = with_page(Config::new().service(Service::tcp(Method::Nat, world::HTTP)));
    let director = world.start(&again)?;
    ensure!(eventually(PATIENCE, || Ok(curl(&world, &[], "/")?.contains("<title>")))?, "no page");
    browser.becomes("document.getElementById('lost').hidden")?;
    browser.becomes("document.getElementById('counts').innerText.startsWith('1 services')")?;
    director.stop()?;
    Ok(())
}
