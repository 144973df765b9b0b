//! Plain text of fixed width, to be pasted into a change request.

/// Lines end before this column.
const WIDTH: usize = 100;

/// Text in lines: the first behind `head`, the others under it.
pub(crate) fn wrap(head: &str, text: &str) -> String {
    let indent = " ".repeat(head.chars().count());
    let (mut page, mut line, mut empty) = (String::new(), head.to_owned(), true);
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            page += line.trim_end();
            page.push('\n');
            (line, empty) = (indent.clone(), true);
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    page += line.trim_end();
    page.push('\n');
    page
}

/// Rows in columns as wide as their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut page = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        page += cells.join("  ").trim_end();
        page.push('\n');
    }
    page
}
