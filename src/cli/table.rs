//! Tables for people.

use std::fmt::Write as _;

use anstyle::Style;

use super::shown::shown_in_line;

const GAP: usize = 2;

/// Columns as wide as their widest cell, counted in characters; a bold head above.
pub(super) fn render<const N: usize>(head: &[String; N], rows: &[([String; N], Style)]) -> String {
    let rows: Vec<(Vec<String>, Style)> =
        rows.iter().map(|(cells, style)| (cells.to_vec(), *style)).collect();
    render_any(head, &rows)
}

/// As [`render`], with as many columns as `head` has.
pub(super) fn render_any(head: &[String], rows: &[(Vec<String>, Style)]) -> String {
    let mut text = String::new();
    let width = |column: usize| {
        let cells = rows.iter().map(|(cells, _)| cells.as_slice()).chain([head]);
        cells.filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    line(&mut text, head, &widths, Style::new().bold());
    for (cells, style) in rows {
        line(&mut text, cells, &widths, *style);
    }
    text
}

fn line(text: &mut String, cells: &[String], widths: &[usize], style: Style) {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let gap = width + GAP;
        let _ = write!(line, "{:gap$}", shown_in_line(cell));
    }
    let _ = writeln!(text, "{style}{}{style:#}", line.trim_end());
}
