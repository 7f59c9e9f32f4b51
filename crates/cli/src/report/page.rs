//! The page and the picture, from the templates beside this file.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use serde::Serialize;

use super::charts::{self, COLORS};
use super::timeline::Timeline;
use crate::compare::{self, Column, Comparison, Row, Shown, Told, columns};
use crate::failure::{Failure, Result};
use crate::output::preview;
use crate::sanitize::clean;
use crate::text::counted;

/// A strategy in the table and in the list of sentences.
#[derive(Serialize)]
struct Strategy {
    name: String,
    color: String,
    cells: Vec<Cell>,
    sentence: String,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    is_best: bool,
}

/// A conversation with its pictures.
#[derive(Serialize)]
struct Conversation {
    name: String,
    messages: Vec<Told>,
    about: String,
    tokens: String,
    sums: String,
    sum_of: &'static str,
    timelines: Vec<Timeline>,
}

/// The page of a comparison.
pub(super) fn html(comparison: &Comparison) -> Result<String> {
    let columns = columns(comparison, true);
    let strategies: Vec<Strategy> =
        comparison.strategies.iter().map(|row| strategy(comparison, &columns, row)).collect();
    let conversations =
        comparison.shown.iter().map(|shown| conversation(comparison, shown)).collect::<Result<Vec<_>>>()?;
    let more = comparison.conversations().saturating_sub(conversations.len());
    let context = context! {
        about => comparison.about(),
        columns => columns.iter().map(|column| column.name).collect::<Vec<_>>(),
        strategies => Value::from(Serde(strategies)),
        conversations => Value::from(Serde(conversations)),
        more,
        notes => comparison.notes(true),
    };
    render("report.html", context)
}

/// The timeline of the first conversation under the first strategy.
pub(super) fn svg(comparison: &Comparison) -> Result<String> {
    let (Some(row), Some(shown)) = (comparison.strategies.first(), comparison.shown.first()) else {
        return Err(Failure::usage("--svg: there is no conversation to draw"));
    };
    let timeline = timeline(row, shown);
    render("timeline.svg", context! { timeline => Value::from(Serde(timeline)), name => preview(&shown.name, 80) })
}

fn strategy(comparison: &Comparison, columns: &[&Column], row: &Row) -> Strategy {
    let cell =
        |column: &&Column| Cell { text: (column.text)(row), is_best: column.is_best(&comparison.strategies, row) };
    Strategy {
        name: clean(&row.strategy).into_owned(),
        color: color(row),
        cells: columns.iter().map(cell).collect(),
        sentence: clean(&row.sentence()).into_owned(),
    }
}

fn conversation(comparison: &Comparison, shown: &Shown) -> Result<Conversation> {
    let requests = shown.replays.first().map_or(0, |replay| replay.requests.len());
    Ok(Conversation {
        name: preview(&shown.name, 80),
        messages: shown.messages.iter().collect(),
        about: format!("{}, {}", counted(shown.messages.len(), "message"), counted(requests, "request")),
        tokens: charts::tokens(comparison, shown)?,
        sums: charts::sums(comparison, shown)?,
        sum_of: if shown.price.is_some() { "cost" } else { "prompt tokens" },
        timelines: comparison.strategies.iter().map(|row| timeline(row, shown)).collect(),
    })
}

fn timeline(row: &Row, shown: &Shown) -> Timeline {
    let timeline = compare::Timeline::of(shown.messages.len(), &shown.replays[row.index]);
    Timeline::of(&clean(&row.strategy), timeline)
}

fn color(row: &Row) -> String {
    let color = COLORS[row.index % COLORS.len()];
    format!("rgb({},{},{})", color.0, color.1, color.2)
}

fn render(template: &str, context: Value) -> Result<String> {
    let mut templates = Environment::new();
    // Text of conversations is escaped in both.
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    let failed = |e: minijinja::Error| Failure::Failed(format!("{template}: {e:#}"));
    templates.add_template("report.html", include_str!("report.html")).map_err(failed)?;
    templates.add_template("cells.svg", include_str!("cells.svg")).map_err(failed)?;
    templates.add_template("timeline.svg", include_str!("timeline.svg")).map_err(failed)?;
    templates.get_template(template).and_then(|template| template.render(context)).map_err(failed)
}
