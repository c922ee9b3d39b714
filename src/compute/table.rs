//! Tables of results, and how they are written.

/// Rows of cells, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    pub columns: Vec<Column>,
    /// A cell a column; `None` is unknown (NULL).
    pub rows: Vec<Vec<Option<String>>>,
    /// There are more rows than were taken.
    pub is_cut: bool,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Shown to the right; as a number in JSON.
    pub is_number: bool,
}

impl Table {
    /// As CSV (RFC 4180), NULL as an empty field.
    pub fn to_csv(&self) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.columns.iter().map(|column| column.name.as_str());
        writer.write_record(names).expect("memory takes all, and rows have as many cells as there are columns");
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.as_deref().unwrap_or_default());
            writer.write_record(cells).expect("as above");
        }
        writer.into_inner().expect("as above")
    }

    /// As an array of objects; numbers stay numbers, what JSON has no number for is null.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).expect("texts can be written");
        let mut json = String::from("[");
        for (index, row) in self.rows.iter().enumerate() {
            json += if index == 0 { "\n  {" } else { ",\n  {" };
            for (place, (column, cell)) in self.columns.iter().zip(row).enumerate() {
                let value = match cell {
                    None => "null".to_owned(),
                    Some(cell) if column.is_number => {
                        if serde_json::from_str::<serde_json::Number>(cell).is_ok() {
                            cell.clone()
                        } else {
                            "null".to_owned()
                        }
                    }
                    Some(cell) => text(cell),
                };
                json += &format!("{}{}: {value}", if place == 0 { "" } else { ", " }, text(&column.name));
            }
            json += "}";
        }
        json += if self.rows.is_empty() { "]\n" } else { "\n]\n" };
        json
    }

    /// In columns, for reading; numbers to the right.
    pub fn to_text(&self) -> String {
        let shown = |cell: &Option<String>| match cell {
            None => "NULL".to_owned(),
            Some(cell) => cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        };
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let widest = cells.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
                widest.max(column.name.chars().count())
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let parts = cells.zip(&widths).zip(&self.columns).map(|((cell, &width), column)| {
                if column.is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            parts.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        let mut text = line(&mut self.columns.iter().map(|column| column.name.as_str()));
        text += &(widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>().join("  ") + "\n");
        for row in &cells {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}
