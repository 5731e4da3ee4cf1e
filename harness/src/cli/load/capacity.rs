//! `skirl load --find-capacity`: run after run, until the highest rate that holds is known.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use skirl_generator::pace::{PaceSpec, parse_rate};

use super::{Outputs, Screen};
use crate::cli::kafka::Interrupt;
use crate::cli::out;
use crate::load::capacity::{Capacity, Held, Search, find, scaled};
use crate::load::figure::{Figure, shown, shown_micros, shown_short};
use crate::load::latency::Span;
use crate::load::plan::Plan;
use crate::load::{Error, Outcome, Verdict};

/// Where to search.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// The highest rate that is tried.
    #[arg(long, value_name = "RATE", default_value = "10M/s", value_parser = constant, help_heading = "Capacity")]
    up_to: f64,

    /// How near the rate that held and the one that did not must come, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = clap::value_parser!(u8).range(1..=50), help_heading = "Capacity")]
    precision: u8,
}

fn constant(text: &str) -> Result<f64, String> {
    match parse_rate(text)? {
        PaceSpec::Constant { rate } => Ok(rate),
        _ => Err(format!("`{text}` is no constant rate; write for example 500k/s")),
    }
}

/// Searches, printing each step; 0 if a rate held.
pub(super) fn execute(
    plan: &Plan,
    args: &SearchArgs,
    outputs: &Outputs,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<ExitCode> {
    if outputs.junit.is_some() || outputs.hdr.is_some() || outputs.baseline.is_some() || outputs.json.is_some() {
        bail!(
            "a search has no report but its steps; run the rate it finds with `--json`, `--junit`, `--hdr` or `--baseline`"
        );
    }
    let search = Search {
        start: plan.timing.mean_rate(),
        up_to: args.up_to,
        precision: f64::from(args.precision) / 100.0,
    };
    out::print(format_args!(
        "searching from {} rows/s up to {}, to {} %: steps of {} after {} of warm-up\n",
        shown_short(search.start),
        shown_short(search.up_to),
        args.precision,
        shown_micros(plan.timing.duration.as_secs_f64() * 1e6),
        shown_micros(plan.timing.warm_up.as_secs_f64() * 1e6)
    ))?;
    let mut number = 0;
    let capacity = find(&search, |rate| {
        number += 1;
        let step = step_of(plan, rate / search.start, number);
        let outcome = screen
            .run(&step, interrupt)
            .map_err(|error| Error::Plan(format!("{error:#}")))?;
        if interrupt.is_raised() {
            return Err(Error::Plan("the search was stopped".into()));
        }
        let held = Held::of(&outcome, &Verdict::of(&outcome, &outputs.slo, None));
        let line = described(rate, &held, &outcome);
        out::print(format_args!("{line}\n")).map_err(|error| Error::Plan(format!("{error:#}")))?;
        Ok(held)
    })?;
    out::print(format_args!("{}\n", concluded(&capacity)))?;
    Ok(ExitCode::from(u8::from(capacity.highest.is_none())))
}

/// The plan at another rate, in topics of its own unless they are given: a step must not begin with the rest of another.
fn step_of(plan: &Plan, factor: f64, number: u32) -> Plan {
    let mut step = plan.clone();
    step.timing.pace = scaled(&plan.timing.pace, factor);
    step.rate_factor = factor;
    step.pace = format!("{} times {factor:.3}", plan.pace);
    if plan.topic.existing == skirl_kafka::Existing::Refuse {
        for topic in step.topics.iter_mut().chain(step.receive.iter_mut().flatten()) {
            *topic = format!("{topic}-{number}");
        }
    }
    step
}

fn described(rate: f64, held: &Held, outcome: &Outcome) -> String {
    let figure = |figure: Figure| {
        outcome
            .figure(figure)
            .map_or_else(|_| "-".into(), |value| shown(value, figure.unit()))
    };
    let (p50, p99) = (
        Figure::Quantile(Span::Latency, 50.0),
        Figure::Quantile(Span::Latency, 99.0),
    );
    let figures = format!(
        "p50 {}, p99 {}, {}",
        figure(p50),
        figure(p99),
        figure(Figure::Throughput)
    );
    let ending = match held {
        Held::Yes => "held".to_string(),
        Held::No(why) => format!("did not hold: {why}"),
        Held::ToolCeiling { kept: true, why } => format!("held, but {why}"),
        Held::ToolCeiling { kept: false, why } => format!("did not hold, but {why}"),
    };
    format!("{:>10} rows/s  {figures}: {ending}", shown_short(rate))
}

fn concluded(capacity: &Capacity) -> String {
    let highest = match (capacity.highest, capacity.too_much) {
        (Some(low), Some(high)) => format!("held up to {} rows/s, not at {}", shown_short(low), shown_short(high)),
        (Some(low), None) => format!("held up to {} rows/s, the highest that was tried", shown_short(low)),
        (None, _) => "no rate held".to_string(),
    };
    match &capacity.limit {
        Some(limit) => format!("{highest}: {limit}"),
        None => highest,
    }
}
