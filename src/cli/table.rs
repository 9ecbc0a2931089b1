//! Tables for people.

use std::fmt::Write as _;

use anstyle::Style;

const GAP: usize = 2;

/// Columns as wide as their widest cell, counted in characters; a bold head above.
pub(super) fn render<const N: usize>(head: &[String; N], rows: &[([String; N], Style)]) -> String {
    let mut text = String::new();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|(cells, _)| cells).chain([head]).filter_map(|cells| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    line(&mut text, head, &widths, Style::new().bold());
    for (cells, style) in rows {
        line(&mut text, cells, &widths, *style);
    }
    text
}

fn line<const N: usize>(text: &mut String, cells: &[String; N], widths: &[usize; N], style: Style) {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let gap = width + GAP;
        let _ = write!(line, "{cell:gap$}");
    }
    let _ = writeln!(text, "{style}{}{style:#}", line.trim_end());
}
