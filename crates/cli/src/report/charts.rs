//! Line charts, drawn by `plotters`: the tokens of each request, and their sum or cost.

use plotters::prelude::*;
use turnwise::replay::{Outcome, Planned};

use crate::compare::{Comparison, Row, Shown};
use crate::failure::{Failure, Result};
use crate::text::thousands;

const SIZE: (u32, u32) = (760, 300);
/// The colors of the strategies: by Okabe and Ito, told apart with every kind of sight.
pub(super) const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
    RGBColor(148, 103, 189),
];
/// Text, axes and grid, which the page gives other colors in the dark.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(222, 222, 222);
const LIMIT: RGBColor = RGBColor(200, 0, 0);

/// The points of one strategy.
pub(super) struct Line {
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// The tokens of each request under each strategy, and the budget.
pub(super) fn tokens(comparison: &Comparison, shown: &Shown) -> Result<String> {
    let lines = lines(comparison, shown, |_, planned| number(planned.tokens));
    draw(&lines, Some(number(shown.budget)), "prompt tokens", &|tokens| whole(*tokens))
}

/// What all requests so far have cost under each strategy: dollars, or tokens where no price is
/// known.
pub(super) fn sums(comparison: &Comparison, shown: &Shown) -> Result<String> {
    let Some(price) = shown.price else {
        let lines = lines(comparison, shown, |sum, planned| sum + number(planned.tokens));
        return draw(&lines, None, "tokens", &|tokens| whole(*tokens));
    };
    let lines = lines(comparison, shown, |sum, planned| {
        sum + number(price.of(planned.tokens, planned.prefix, 0).picodollars()) / 1e12
    });
    let top = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let digits = digits(top);
    draw(&lines, None, "dollars", &|dollars| format!("${dollars:.digits$}"))
}

/// A line for each strategy: `next` gives the value of a request from that of the one before it.
/// Requests over budget have no point.
fn lines(comparison: &Comparison, shown: &Shown, next: impl Fn(f64, &Planned) -> f64) -> Vec<Line> {
    let line = |row: &Row| {
        let mut value = 0.0;
        let mut points = Vec::new();
        for request in &shown.replays[row.index].requests {
            if let Outcome::Planned(planned) = &request.outcome {
                value = next(value, planned);
                points.push((number(request.request as u64), value));
            }
        }
        Line { color: COLORS[row.index % COLORS.len()], points }
    };
    comparison.strategies.iter().map(line).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a place in a picture")]
fn number(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number on an axis")]
fn whole(number: f64) -> String {
    thousands(number.round() as u64)
}

/// How many digits after the point tell the numbers of an axis apart that ends here.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and 9")]
fn digits(top: f64) -> usize {
    // An axis has up to about twenty numbers.
    if top > 0.0 { (-(top / 20.0).log10()).ceil().clamp(2.0, 9.0) as usize } else { 2 }
}

/// The number of a request; nothing between two requests.
fn number_of_request(request: f64) -> String {
    if (request - request.round()).abs() < 1e-6 { whole(request) } else { String::new() }
}

fn draw(lines: &[Line], limit: Option<f64>, unit: &str, label: &dyn Fn(&f64) -> String) -> Result<String> {
    let mut svg = String::new();
    drawn(&mut svg, lines, limit, unit, label).map_err(|e| Failure::Failed(format!("drawing a chart: {e}")))?;
    Ok(svg)
}

fn drawn(
    svg: &mut String,
    lines: &[Line],
    limit: Option<f64>,
    unit: &str,
    label: &dyn Fn(&f64) -> String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|point| point.0).fold(2.0, f64::max);
    let top = points().map(|point| point.1).chain(limit).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.05 } else { 1.0 };
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(28)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(1.0..right, 0.0..top)?;
    let text = ("sans-serif", 13, &INK);
    chart
        .configure_mesh()
        .x_desc("request")
        .y_desc(unit)
        .x_label_formatter(&|request| number_of_request(*request))
        .y_label_formatter(label)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text)
        .axis_desc_style(text)
        .draw()?;
    for line in lines {
        chart.draw_series(LineSeries::new(line.points.iter().copied(), line.color.stroke_width(2)))?;
    }
    if let Some(limit) = limit {
        chart.draw_series(LineSeries::new([(1.0, limit), (right, limit)], LIMIT.stroke_width(1)))?;
    }
    area.present()?;
    drop(chart);
    drop(area);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beside_an_axis_differ() {
        assert_eq!([17.0, 1.0, 0.0002, 0.0].map(digits), [2, 2, 5, 2]);
        assert_eq!([1.0, 1.5, 2_000.0].map(number_of_request), ["1", "", "2,000"]);
    }
}
