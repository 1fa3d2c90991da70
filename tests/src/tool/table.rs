use std::fmt;

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A plain table: a heading, a rule, and rows, with columns as wide as needed.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = (&'static str, Align)>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = self.columns.iter().zip(&widths).enumerate().map(|(column, ((_, align), width))| {
                let cell = cell(column);
                match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                }
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        writeln!(f, "{}", line(&|column| self.columns[column].0.to_owned()))?;
        writeln!(f, "{}", line(&|column| "-".repeat(widths[column])))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&|column| row.get(column).cloned().unwrap_or_default()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("step", Align::Left), ("ms", Align::Right)]);
        table.row(["a café opens".to_owned(), "7.0".to_owned()]);
        table.row(["it closes".to_owned()]);
        let shown = "  step           ms\n  ------------  ---\n  a café opens  7.0\n  it closes\n";
        assert_eq!(table.to_string(), shown);
    }
}
