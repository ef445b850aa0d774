//! `statement` and `verify`: the SLA statement by hand, and the check of an evidence pack.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_collector::Config;
use mailsonar_collector::statement::{
    ContractFile, Issued, Period, as_if_issued, controls, evidence, gather, issue, render,
};
use mailsonar_protocol::ServiceName;

/// State what was promised against what was measured, for one period of a contract.
#[derive(Debug, Args)]
pub(crate) struct StatementArguments {
    /// The collector's configuration: where the store is.
    #[arg(long)]
    config: PathBuf,
    /// The contract file.
    #[arg(long)]
    contract: PathBuf,
    /// The period: 2026-11, or 2026-Q4 or 2026 if the contract's periods are quarters or years.
    #[arg(long, visible_alias = "period")]
    month: String,
    /// Only this service of the contract.
    #[arg(long)]
    service: Option<ServiceName>,
    /// The form; repeat it for several.
    #[arg(long, value_enum, default_value = "html")]
    format: Vec<Format>,
    /// Where files are written, one for each service and form; otherwise to standard output.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write the evidence pack too, into a new directory below --out for each service.
    #[arg(long, requires = "out")]
    pack: bool,
    /// Record it as issued: a new revision if anything in it is news.
    #[arg(long)]
    issue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One page to print.
    Html,
    /// All of it, for programs.
    Json,
    /// One table in long form.
    Csv,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Writes the statements that are asked for. Returns what to print.
pub(crate) fn statement(arguments: &StatementArguments, now: Timestamp) -> Result<String> {
    let config = Config::read(&arguments.config)?;
    let file = ContractFile::read(&arguments.contract)?;
    let contract = &file.contract;
    let period = Period::named(&arguments.month, contract.period, &contract.time_zone)
        .map_err(|words| anyhow::anyhow!("--month: {words}"))?;
    if period.start() > now {
        bail!("--month: {period} has not begun");
    }
    let services: Vec<&ServiceName> = match &arguments.service {
        Some(service) if !contract.services.contains(service) => {
            bail!("--service: {service} is not one of the contract's services")
        }
        Some(service) => vec![service],
        None => contract.services.iter().collect(),
    };
    if arguments.out.is_none() && (services.len() > 1 || arguments.format.len() > 1) {
        bail!("there are several statements or forms: say with --out where their files go");
    }
    let store = config.store.place.open()?;
    let controls = controls(&store, contract, &period)?;
    let mut told = Vec::new();
    for service in services {
        let statement = gather(&store, &file, service, &period, &controls, now)?;
        let issued = if arguments.issue {
            issue(&store, statement, now)?.0
        } else {
            as_if_issued(&store, statement, now)?
        };
        for format in &arguments.format {
            let text = rendered(&issued, *format, &file)?;
            let Some(out) = &arguments.out else { return Ok(text) };
            let name = format!("{}-{service}-{period}.{}", contract.name, format.extension());
            told.push(written(out, &name, &text)?);
        }
        if let (true, Some(out)) = (arguments.pack, &arguments.out) {
            let path = out.join(format!("{}-{service}-{period}-r{}.pack", contract.name, issued.revision));
            let seal = evidence::pack(&store, &file, &issued, &period, &path)?;
            told.push(format!("{} sealed {seal}", path.display()));
        }
    }
    Ok(told.join("\n"))
}

fn rendered(issued: &Issued, format: Format, file: &ContractFile) -> Result<String> {
    Ok(match format {
        Format::Html => render::html(issued, &file.contract.time_zone),
        Format::Json => serde_json::to_string_pretty(issued)?,
        Format::Csv => render::csv(issued),
    })
}

fn written(directory: &Path, name: &str, text: &str) -> Result<String> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// Check an evidence pack: every byte, the chain of days, and the figures counted again.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The pack: a directory.
    pack: PathBuf,
    /// The seal that was given when the pack was made; without it a pack that was made anew as a whole
    /// goes unnoticed.
    #[arg(long)]
    seal: Option<String>,
    /// A head that was told outside when its day was anchored; repeat it for several.
    #[arg(long, value_name = "DATE=HEAD", value_parser = anchor)]
    anchor: Vec<(Date, String)>,
}

fn anchor(text: &str) -> Result<(Date, String), String> {
    let (day, head) = text.split_once('=').ok_or("write the day and its head, as 2026-11-03=5d41...")?;
    let day = day.parse().map_err(|_| format!("{day:?} is not a day such as 2026-11-03"))?;
    Ok((day, head.to_owned()))
}

/// Checks a pack. Returns what to print.
pub(crate) fn verify(arguments: &VerifyArguments) -> Result<String> {
    let given = evidence::Given { seal: arguments.seal.clone(), heads: arguments.anchor.clone() };
    let verified = evidence::verify(&arguments.pack, &given).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{} is not as it was written:\n{}", arguments.pack.display(), faults.join("\n"))
    })?;
    let compared = if given.seal.is_some() {
        "which is the one that was given"
    } else {
        "compare it with the one that was given"
    };
    Ok(format!(
        "{}\n{} files and {} probes are as they were written, and give the figures that are stated.\n\
         seal {}, {compared}\nhead {}{}",
        verified.summary, verified.files, verified.probes, verified.seal, verified.head, verified.anchored
    ))
}
