//! Instructions of a packet, counted by callgrind, and compared with those on record.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use lb_perf::{
    cases::{self, Case},
    rows::{self, Row, Table},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A case may get so much dearer before it counts.
const TOLERANCE: f64 = 1.02;

/// Counts a packet's instructions.
#[derive(Parser)]
struct Options {
    /// Where the rows go.
    #[arg(long, default_value = "target/bench/instructions.json")]
    output: PathBuf,
    /// What to compare with.
    #[arg(long, default_value = "perf/instructions.json")]
    record: PathBuf,
    /// Write a new record instead.
    #[arg(long)]
    update: bool,
    /// Print what cases there are.
    #[arg(long)]
    list: bool,
    /// Run one case, by its number, and print how many packets were measured: what callgrind runs.
    #[arg(long)]
    case: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let cases = cases::all();
    if options.list {
        (0..).zip(&cases).for_each(|(number, case)| println!("{number:>2} {}", case.row().key()));
        return Ok(());
    }
    if let Some(number) = options.case {
        println!("{}", cases.get(number).context("no such case")?.run());
        return Ok(());
    }
    let rows = count_all(&cases, &options.output.with_extension("callgrind"))?;
    rows::save(&options.output, &rows)?;
    if options.update {
        rows.iter().for_each(|row| Table.print(row));
        fs::write(options.record.with_extension("toolchain"), toolchain()?)?;
        return rows::save(&options.record, &rows);
    }
    let outcome = compare(&rows, &rows::load(&options.record)?);
    let (recorded, own) = (fs::read_to_string(options.record.with_extension("toolchain"))?, toolchain()?);
    if recorded != own {
        // Another compiler makes other code: neither dearer nor cheaper would mean anything.
        println!("not judged: the record is of {}, this is {}", recorded.trim(), own.trim());
        return Ok(());
    }
    outcome
}

/// The compiler's version.
fn toolchain() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("rustc")?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Counts all cases, on all cores.
fn count_all(cases: &[Case], folder: &Path) -> Result<Vec<Row>> {
    fs::create_dir_all(folder)?;
    let next = AtomicUsize::new(0);
    let counted = Mutex::new(vec![0.0; cases.len()]);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return Ok(()) };
            let what = case.row().key();
            eprintln!("[{:>2} of {}] {what}", number + 1, cases.len());
            let count = count(number, folder).with_context(|| what)?;
            counted.lock().expect("nobody panics")[number] = count;
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("nobody panics"))
    })?;
    let counted = counted.into_inner().expect("nobody panics");
    let row = |(case, count): (&Case, f64)| Row { instructions_per_packet: Some(count), ..case.row() };
    Ok(cases.iter().zip(counted).map(row).collect())
}

/// Instructions of a packet in one case.
fn count(number: usize, folder: &Path) -> Result<f64> {
    let file = folder.join(format!("{number}.out"));
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args(["--case", &number.to_string()])
        .output()
        .context("valgrind")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packets: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let text = fs::read_to_string(&file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.context("callgrind counted nothing")?.trim().parse()?;
    ensure!(total > 0.0, "callgrind saw no measured function");
    // One digit is what a person compares, and keeps the record's changes small.
    Ok((total / packets * 10.0).round() / 10.0)
}

/// Prints both, and complains about what got dearer.
fn compare(rows: &[Row], record: &[Row]) -> Result<()> {
    let mut dearer = Vec::new();
    for row in rows {
        let count = row.instructions_per_packet.unwrap_or_default();
        let old = record.iter().find(|old| old.key() == row.key());
        let Some(old) = old.and_then(|old| old.instructions_per_packet) else {
            println!("{:<50} {count:>8.1}  not on record", row.key());
            dearer.push(row.key());
            continue;
        };
        println!("{:<50} {count:>8.1}  {:>+6.1} %", row.key(), (count / old - 1.0) * 100.0);
        if count > old * TOLERANCE {
            dearer.push(row.key());
        }
    }
    if dearer.is_empty() {
        return Ok(());
    }
    bail!(
        "these got more than {:.0} % dearer than perf/instructions.json says, or are not in it:\n  {}\n\
         if that is what it costs: make bench-instructions UPDATE=1, and commit the file with the change that pays",
        (TOLERANCE - 1.0) * 100.0,
        dearer.join("\n  "),
    )
}
