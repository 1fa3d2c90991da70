//! Plots: calls a second and p50 of each side, over clients, distances, shares of the peak or sizes.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, Color as _, DrawingArea, IntoDrawingArea as _, LineSeries, PathElement, RGBColor,
        SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use crate::{error::BenchError, sample::Spread};

/// A plot of two panels over the same values of x, which stand side by side at equal distances.
pub struct Plot {
    pub title: String,
    pub x_title: &'static str,
    pub x: Vec<f64>,
    pub per_second: Vec<Line>,
    pub p50_ms: Vec<Line>,
}

/// One side: a median and spread at each x; `None` where it was not measured.
pub struct Line {
    pub side: &'static str,
    pub points: Vec<Option<Spread>>,
}

const SIZE: (u32, u32) = (1000, 380);
/// Room beside the first and the last x.
const MARGIN: f64 = 0.3;

/// The room above the highest value, in which the names of the sides stand.
const HEADROOM: f64 = 0.35;

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Plot {
    /// The name of its file: letters and digits of the title.
    pub fn file_name(&self) -> String {
        let mut name: String =
            self.title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        while name.contains("--") {
            name = name.replace("--", "-");
        }
        format!("{}.svg", name.trim_matches('-'))
    }

    pub fn write(&self, folder: &Path) -> Result<(), BenchError> {
        let path = folder.join(self.file_name());
        let root = SVGBackend::new(&path, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(BenchError::plot)?;
        let panels = root.split_evenly((1, 2));
        self.draw(&panels[0], "calls/s", &self.per_second, false)?;
        self.draw(&panels[1], "p50, ms (logarithmic)", &self.p50_ms, true)?;
        root.present().map_err(BenchError::plot)
    }

    fn draw(&self, panel: &Panel<'_>, y_title: &str, lines: &[Line], is_log: bool) -> Result<(), BenchError> {
        let scaled = |value: f64| if is_log { value.max(1e-3).log10() } else { value };
        let spreads = || lines.iter().flat_map(|line| line.points.iter().flatten());
        let highest = scaled(spreads().map(|spread| spread.max).fold(1e-3, f64::max));
        let lowest = if is_log { scaled(spreads().map(|spread| spread.min).fold(f64::MAX, f64::min)) } else { 0.0 };
        let room = (highest - lowest).max(0.5);
        let (bottom, top) = (if is_log { lowest - room / 10.0 } else { 0.0 }, highest + room * HEADROOM);
        let mut chart = ChartBuilder::on(panel)
            .caption(&self.title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(-MARGIN..position(self.x.len().saturating_sub(1)) + MARGIN, bottom..top)
            .map_err(BenchError::plot)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .x_desc(self.x_title)
            .y_desc(y_title)
            .x_labels(2 * self.x.len() + 1)
            .x_label_formatter(&|at| self.x_label(*at))
            .y_label_formatter(&|value| {
                if is_log { format!("{:.2}", 10_f64.powf(*value)) } else { format!("{value:.0}") }
            })
            .draw()
            .map_err(BenchError::plot)?;
        for line in lines {
            let colour = colour_of(line.side);
            let points = || line.points.iter().enumerate().filter_map(|(n, point)| Some((position(n), (*point)?)));
            let medians = points().map(|(x, spread)| (x, scaled(spread.median)));
            chart
                .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))
                .map_err(BenchError::plot)?
                .label(line.side)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
            chart.draw_series(medians.map(|at| Circle::new(at, 3, colour.filled()))).map_err(BenchError::plot)?;
            let bars = points().map(|(x, spread)| vec![(x, scaled(spread.min)), (x, scaled(spread.max))]);
            chart.draw_series(bars.map(|bar| PathElement::new(bar, colour))).map_err(BenchError::plot)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .border_style(RGBColor(0xcc, 0xcc, 0xcc))
            .background_style(WHITE.mix(0.8))
            .draw()
            .map_err(BenchError::plot)
    }

    /// The value at a position of the axis; empty between two.
    fn x_label(&self, at: f64) -> String {
        let value = self.x.iter().enumerate().find(|(n, _)| (position(*n) - at).abs() < 1e-6);
        value.map_or_else(String::new, |(_, value)| format!("{value}"))
    }
}

/// The same in every plot.
fn colour_of(side: &str) -> RGBColor {
    match side {
        "floor" | "ideal" => RGBColor(0x7f, 0x7f, 0x7f),
        "pgbench" => RGBColor(0x1f, 0x77, 0xb4),
        "plain" | "other build" => RGBColor(0xff, 0x7f, 0x0e),
        _ => RGBColor(0x2c, 0xa0, 0x2c),
    }
}

fn position(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_sides_and_the_values_of_its_axis() {
        let point = |median: f64| Some(Spread { median, min: median * 0.9, max: median * 1.1 });
        let line = |side, factor: f64| Line { side, points: vec![point(factor), None, point(40.0 * factor)] };
        let plot = Plot {
            title: "CreateBooking, many slots".to_owned(),
            x_title: "clients",
            x: vec![1.0, 8.0, 128.0],
            per_second: vec![line("plain", 100.0), line("Teppan", 300.0)],
            p50_ms: vec![line("plain", 2.0), line("Teppan", 0.5)],
        };
        assert_eq!(plot.file_name(), "createbooking-many-slots.svg");
        let folder = tempfile::tempdir().expect("a folder");
        plot.write(folder.path()).expect("written");
        let svg = std::fs::read_to_string(folder.path().join(plot.file_name())).expect("readable");
        for text in ["CreateBooking, many slots", "plain", "Teppan", "clients", "128", "calls/s"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
