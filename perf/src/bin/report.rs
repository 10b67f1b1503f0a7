//! Results as tables and plots, and two of them compared.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lb_perf::{
    measure::median,
    results,
    rows::{Row, Table, load},
};
use std::{fs, path::PathBuf};

/// Shows results.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print them all.
    Table {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Write a table in markdown, and plots.
    Results {
        /// Where to.
        #[arg(long, default_value = "perf/results")]
        output: PathBuf,
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Print how many times as dear cases became.
    Compare {
        /// Files from before; of several, the median counts.
        #[arg(long, required = true)]
        base: Vec<PathBuf>,
        /// Files from after.
        #[arg(long, required = true)]
        head: Vec<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Table { files } => {
            for (name, rows) in groups(&files)? {
                println!("{name}");
                rows.iter().for_each(|row| Table.print(row));
                println!();
            }
        }
        Command::Results { output, files } => {
            let groups = groups(&files)?;
            let rows: Vec<Row> = groups.iter().flat_map(|group| group.1.clone()).collect();
            fs::create_dir_all(&output)?;
            fs::write(output.join("connections.svg"), results::over_connections(&rows))?;
            for flows in [4_096, 65_536] {
                let plot = results::above_floor(&rows, flows);
                fs::write(output.join(format!("floor-{flows}.svg")), plot)?;
            }
            fs::write(output.join("README.md"), results::markdown(&groups))?;
            println!("{}", output.join("README.md").display());
        }
        Command::Compare { base, head } => compare(&groups(&base)?, &groups(&head)?),
    }
    Ok(())
}

/// The rows of each file, under its name.
fn groups(files: &[PathBuf]) -> Result<Vec<(String, Vec<Row>)>> {
    let named = |file: &PathBuf| {
        let name = file.file_stem().context("a file's name")?.to_string_lossy().into_owned();
        Ok((name, load(file)?))
    };
    files.iter().map(named).collect()
}

fn compare(base: &[(String, Vec<Row>)], head: &[(String, Vec<Row>)]) {
    println!("{:<64} {:>9} {:>9} {:>7}", "case", "base", "head", "ratio");
    let Some((_, rows)) = head.first() else { return };
    for row in rows {
        let (Some(old), Some(new)) = (figure(base, &row.key()), figure(head, &row.key())) else { continue };
        println!("{:<64} {old:>9.1} {new:>9.1} {:>7.3}", row.key(), new / old);
    }
}

/// The median of a case's cost over files.
fn figure(groups: &[(String, Vec<Row>)], key: &str) -> Option<f64> {
    let rows = groups.iter().flat_map(|group| &group.1).filter(|row| row.key() == key);
    let mut costs: Vec<f64> = rows
        .filter_map(|row| row.instructions_per_packet.or(row.cycles_per_packet).or(row.cycles_per_connection))
        .collect();
    (!costs.is_empty()).then(|| median(&mut costs))
}
