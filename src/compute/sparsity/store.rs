//! Results in a DuckDB file: the table of the reference, and tables of our own beside it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use duckdb::types::ValueRef;
use duckdb::{AccessMode, Config, Connection, params};
// The library itself, for the linker.
use duckdb_library as _;

use super::analysis::Analysis;
use super::groups::Mode;
use super::mask::Mask;
use super::pairs::pair_count;
use super::patterns::PatternCheck;
use super::sources::Identity;
use crate::compute::error::{Error, Result};
use crate::compute::table::{Column, Table};
use crate::job::Monitor;

/// The table that other tools read.
pub const TABLE: &str = "nearest_neighbor_metrics";

/// Its columns.
const COLUMNS: [&str; 15] = [
    "id",
    "method",
    "matrix_name",
    "layer",
    "projection",
    "feature_idx",
    "n_neighbors",
    "mean_pairwise_distance",
    "zeros",
    "ones",
    "duplicates",
    "total_dups",
    "unique_rows",
    "density",
    "timestamp",
];

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS nearest_neighbor_metrics (
    id INTEGER PRIMARY KEY DEFAULT nextval('seq_nearest_neighbor_metrics_id'),
    method VARCHAR, matrix_name VARCHAR, layer INTEGER, projection VARCHAR,
    feature_idx INTEGER, n_neighbors INTEGER, mean_pairwise_distance DOUBLE,
    zeros INTEGER, ones INTEGER, duplicates INTEGER, total_dups INTEGER, unique_rows INTEGER,
    density DOUBLE, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE SEQUENCE IF NOT EXISTS seq_knnscope_matrices_id;
CREATE TABLE IF NOT EXISTS knnscope_matrices (
    id INTEGER PRIMARY KEY DEFAULT nextval('seq_knnscope_matrices_id'),
    method VARCHAR, matrix_name VARCHAR, layer INTEGER, projection VARCHAR,
    row_count BIGINT, column_count BIGINT, dtype VARCHAR, density DOUBLE,
    mode VARCHAR, n_samples BIGINT, n_neighbors BIGINT, seed UBIGINT, permutations BIGINT, fdr DOUBLE,
    pairs UBIGINT, mean_pair_distance DOUBLE, null_mean_pair_distance DOUBLE,
    closer_share DOUBLE, closer_p DOUBLE, closer_share_permuted DOUBLE, closer_correlation_permuted DOUBLE,
    file VARCHAR,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS knnscope_groups (
    metric_id INTEGER, matrix_id INTEGER, columns VARCHAR,
    mean_pair_distance DOUBLE, std_pair_distance DOUBLE,
    null_mean_pairwise_distance DOUBLE, z_score DOUBLE, p_value DOUBLE
);
CREATE TABLE IF NOT EXISTS knnscope_columns (
    matrix_id INTEGER, column_idx INTEGER, density DOUBLE, nearest VARCHAR, nearest_distance DOUBLE
);
CREATE TABLE IF NOT EXISTS knnscope_pair_histograms (
    matrix_id INTEGER, differing_rows INTEGER, distance DOUBLE, pairs UBIGINT, cumulative DOUBLE
);
CREATE TABLE IF NOT EXISTS knnscope_nulls (
    matrix_id INTEGER, differing_rows INTEGER, distance DOUBLE,
    independent_cumulative DOUBLE, permuted_lowest DOUBLE, permuted_highest DOUBLE
);
CREATE TABLE IF NOT EXISTS knnscope_patterns (
    matrix_id INTEGER, pattern VARCHAR, direction VARCHAR,
    lines BIGINT, satisfied_lines BIGINT, blocks UBIGINT, satisfied_blocks UBIGINT, satisfied VARCHAR
);
CREATE TABLE IF NOT EXISTS knnscope_overlaps (
    layer INTEGER, projection VARCHAR, method_a VARCHAR, matrix_a VARCHAR, method_b VARCHAR, matrix_b VARCHAR,
    jaccard DOUBLE, lowest_column DOUBLE, highest_column DOUBLE, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
";

/// An open database.
pub struct Database {
    connection: Option<Connection>,
    path: PathBuf,
    /// Made by this value, with nothing stored yet.
    is_new_and_empty: bool,
    /// What makes the tables that are missing, until the first result is stored.
    schema: Option<String>,
    _open: OpenHere,
}

/// Databases that this program has open. DuckDB's lock keeps other programs away, not this one, and closing a file
/// twice opened would give the lock up.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

struct OpenHere(PathBuf);

impl OpenHere {
    fn enter(path: &Path) -> Result<Self> {
        let whole =
            std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&whole) {
            let what = "is being used by this program already; wait until that is done".to_owned();
            return Err(Error::Database { what, path: path.to_owned() });
        }
        open.push(whole.clone());
        Ok(Self(whole))
    }
}

impl Drop for OpenHere {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

impl Database {
    /// Opens the file to append to it, or makes it. No other program can open it meanwhile.
    ///
    /// # Errors
    /// A file that is no DuckDB database, is in use, cannot be written, or has a table of that name with other columns.
    pub fn append_to(path: &Path) -> Result<Self> {
        check_place(path)?;
        let is_new = !path.exists();
        let here = OpenHere::enter(path)?;
        let connection = open(path, AccessMode::ReadWrite)?;
        let mut database = Self {
            connection: Some(connection),
            path: path.to_owned(),
            is_new_and_empty: is_new,
            schema: None,
            _open: here,
        };
        database.schema = Some(database.missing_tables()?);
        Ok(database)
    }

    /// Opens the file to ask it.
    ///
    /// # Errors
    /// A file that is not there, is no DuckDB database, or is being written.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            let what = "there is no such database. Choose one (--db-path), or fill one with `knnscope sparsity PATH`";
            return Err(Error::Database { what: what.to_owned(), path: path.to_owned() });
        }
        check_place(path)?;
        let here = OpenHere::enter(path)?;
        let connection = open(path, AccessMode::ReadOnly)?;
        let path = path.to_owned();
        Ok(Self { connection: Some(connection), path, is_new_and_empty: false, schema: None, _open: here })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("open until it is dropped")
    }

    fn wrong(&self) -> impl Fn(duckdb::Error) -> Error + '_ {
        |error| failure(&self.path, &error)
    }

    /// Checks the tables that are there; the SQL that makes those that are not.
    fn missing_tables(&self) -> Result<String> {
        let connection = self.connection();
        let known = "SELECT column_name FROM information_schema.columns WHERE table_name = ? AND table_schema = 'main'";
        let mut statement = connection.prepare(known).map_err(self.wrong())?;
        let names = statement.query_map([TABLE], |row| row.get::<_, String>(0)).map_err(self.wrong())?;
        let names = names.collect::<duckdb::Result<Vec<String>>>().map_err(self.wrong())?;
        if !names.is_empty()
            && let Some(missing) = COLUMNS.iter().find(|column| !names.iter().any(|name| name == *column))
        {
            let what = format!(
                "has a table {TABLE} without the column {missing}, so it was not made by this kind of tool. Choose \
                 another file (--db-path)"
            );
            return Err(Error::Database { what, path: self.path.clone() });
        }
        // A table that came without its sequence goes on behind its last id.
        let last: i64 = if names.is_empty() {
            0
        } else {
            let sql = format!("SELECT COALESCE(MAX(id), 0) FROM {TABLE}");
            connection.query_row(&sql, [], |row| row.get(0)).map_err(self.wrong())?
        };
        let sequence =
            format!("CREATE SEQUENCE IF NOT EXISTS seq_nearest_neighbor_metrics_id START WITH {};", last + 1);
        Ok(sequence + SCHEMA)
    }

    /// Stores what was found out about a matrix: all of it or nothing.
    ///
    /// # Errors
    /// A database that cannot be written.
    pub fn store(&mut self, analysis: &Analysis) -> Result<()> {
        self.in_transaction(|connection| insert(connection, analysis))
    }

    /// Groups that are stored of a matrix already.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn groups_of(&self, identity: &Identity) -> Result<usize> {
        let connection = self.connection();
        let known = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = ? AND table_schema = 'main'";
        let tables: i64 = connection.query_row(known, [TABLE], |row| row.get(0)).map_err(self.wrong())?;
        if tables == 0 {
            return Ok(0);
        }
        let sql = format!("SELECT COUNT(*) FROM {TABLE} WHERE matrix_name = ? AND method IS NOT DISTINCT FROM ?");
        let values = params![identity.matrix_name, identity.method];
        connection.query_row(&sql, values, |row| row.get(0)).map_err(self.wrong())
    }

    /// Stores how alike two masks of one matrix are.
    ///
    /// # Errors
    /// As [`Database::store`].
    pub fn store_overlap(&mut self, overlap: &Overlap) -> Result<()> {
        self.in_transaction(|connection| {
            let (a, b) = (&overlap.left, &overlap.right);
            connection
                .execute(
                    "INSERT INTO knnscope_overlaps (layer, projection, method_a, matrix_a, method_b, matrix_b, jaccard, \
                     lowest_column, highest_column) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    params![
                        a.layer,
                        a.projection,
                        a.method,
                        a.matrix_name,
                        b.method,
                        b.matrix_name,
                        overlap.jaccard,
                        overlap.lowest_column,
                        overlap.highest_column
                    ],
                )
                .map(drop)
        })
    }

    fn in_transaction(&mut self, work: impl FnOnce(&Connection) -> duckdb::Result<()>) -> Result<()> {
        let connection = self.connection.as_mut().expect("open until it is dropped");
        let schema = self.schema.as_deref();
        let outcome = connection.transaction().and_then(|transaction| {
            // Tables come with what is stored in them first.
            schema.map_or(Ok(()), |schema| transaction.execute_batch(schema))?;
            work(&transaction)?;
            transaction.commit()
        });
        outcome.map_err(|error| failure(&self.path, &error))?;
        self.is_new_and_empty = false;
        self.schema = None;
        Ok(())
    }

    /// Asks one question in SQL. At most `most` rows are taken, if it is given.
    ///
    /// # Errors
    /// What DuckDB says is wrong with it; more than one statement; cancelled.
    pub fn ask(&self, sql: &str, most: Option<usize>, monitor: &Monitor) -> Result<Table> {
        let sql = sql.trim().trim_end_matches(';').trim_end();
        if sql.is_empty() {
            return Err(Error::Database {
                what: "the question is empty; type some SQL".to_owned(),
                path: self.path.clone(),
            });
        }
        let connection = self.connection();
        let handle = connection.interrupt_handle();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let outcome = std::thread::scope(|scope| {
            // Interrupts DuckDB when this is cancelled; ends when the other end is dropped, whatever happens.
            scope.spawn(move || {
                while is_done.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                    if monitor.is_cancelled() {
                        handle.interrupt();
                    }
                }
            });
            let _done = done;
            table_of(connection, sql, most)
        });
        monitor.check()?;
        const CHANGES: [&str; 16] = [
            "DROP", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "ATTACH", "DETACH", "COPY", "SET", "PRAGMA",
            "EXPLAIN", "EXPORT", "IMPORT", "INSTALL", "LOAD",
        ];
        let word = sql.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_uppercase();
        outcome.map_err(|error| {
            if CHANGES.contains(&word.as_str()) {
                let what = format!(
                    "{word} is no question: the database is only read. Ask with SELECT, FROM, WITH, SHOW, DESCRIBE or \
                     SUMMARIZE"
                );
                return Error::Database { what, path: self.path.clone() };
            }
            failure(&self.path, &error)
        })
    }

    /// What was stored of matrices, by method and projection if they are given.
    ///
    /// # Errors
    /// As [`Database::ask`]; a database without the table.
    pub fn metrics(&self, method: Option<&str>, projection: Option<&str>, monitor: &Monitor) -> Result<Table> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let method = method.map(str::to_lowercase).filter(|method| method != "both");
        let conditions: Vec<String> = [("method", method.as_deref()), ("projection", projection)]
            .into_iter()
            .filter_map(|(column, value)| value.map(|value| format!("{column} = {}", quoted(value))))
            .collect();
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        self.ask(&format!("SELECT * FROM {TABLE}{condition} ORDER BY id"), None, monitor)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.connection.take());
        if self.is_new_and_empty {
            // It was made for results that did not come.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// How alike two masks of one matrix are.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    pub left: Identity,
    pub right: Identity,
    /// |both| / |either| of all weights.
    pub jaccard: f64,
    /// Of the least and the most alike column.
    pub lowest_column: f64,
    pub highest_column: f64,
}

impl Overlap {
    /// Compares two masks.
    ///
    /// # Errors
    /// Masks of different shapes.
    pub fn of(left: (&Identity, &Mask), right: (&Identity, &Mask)) -> Result<Self> {
        let jaccard = left.1.jaccard(right.1)?;
        let columns = left.1.jaccard_of_columns(right.1);
        Ok(Self {
            left: left.0.clone(),
            right: right.0.clone(),
            jaccard,
            lowest_column: columns.iter().copied().fold(f64::INFINITY, f64::min),
            highest_column: columns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

fn check_place(path: &Path) -> Result<()> {
    if path.is_dir() {
        let what = "is a folder; expected a DuckDB file, or a name for a new one".to_owned();
        return Err(Error::Database { what, path: path.to_owned() });
    }
    if path.exists() && !path.is_file() {
        return Err(Error::NotARegularFile { path: path.to_owned() });
    }
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let what = "its folder does not exist; make it, or choose another place (--db-path)".to_owned();
        return Err(Error::Database { what, path: path.to_owned() });
    }
    Ok(())
}

/// Opens a file without what reaches beyond it: no other files, no extensions from elsewhere.
fn open(path: &Path, mode: AccessMode) -> Result<Connection> {
    let connection = || {
        let config = Config::default()
            .access_mode(mode)?
            .enable_external_access(false)?
            .with("autoinstall_known_extensions", "false")?
            .with("autoload_known_extensions", "false")?;
        // A path as it is: names like ":memory:" mean a file here.
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let connection = Connection::open_with_flags(whole, config)?;
        connection.execute_batch("SET lock_configuration = true")?;
        Ok(connection)
    };
    connection().map_err(|error: duckdb::Error| failure(path, &error))
}

/// DuckDB's complaint in our words, where it is a common one.
fn failure(path: &Path, error: &duckdb::Error) -> Error {
    let said = match error {
        duckdb::Error::DuckDBFailure(_, Some(said)) => said.clone(),
        other => other.to_string(),
    };
    let said = about_question(&said);
    let holder = said.split("(PID ").nth(1).and_then(|rest| rest.split(')').next());
    let what = if said.contains("Could not set lock") {
        let holder = holder.map_or_else(String::new, |holder| format!(" (process {holder})"));
        format!(
            "is in use by another program{holder}: DuckDB lets one program write at a time. Close it or wait for it, \
             or choose another file (--db-path)"
        )
    } else if said.contains("not a valid DuckDB database file")
        || said.contains("Loading external extensions is disabled")
    {
        "is no DuckDB database. Choose another file (--db-path)".to_owned()
    } else if said.contains("with version number") {
        let told = said.lines().next().unwrap_or_default().trim_start_matches("Serialization Error: ");
        format!(
            "was written by another version of DuckDB ({told}). Export its tables there, and choose another file here"
        )
    } else if said.contains("Permission denied") || said.contains("read-only mode") {
        "cannot be opened (permission denied, or it is read-only). Choose another file (--db-path)".to_owned()
    } else if said.contains("No space left") {
        "the disk is full; free some space and start again. What was stored before is kept".to_owned()
    } else {
        said.trim().to_owned()
    };
    Error::Database { what, path: path.to_owned() }
}

fn insert(connection: &Connection, analysis: &Analysis) -> duckdb::Result<()> {
    let Analysis { identity, params, mask, pairs, analytic, permutation, .. } = analysis;
    let Identity { method, matrix_name, layer, projection } = identity;
    let (mode, samples) = match params.mode {
        Mode::Sampled { samples } => ("sampled", Some(samples as i64)),
        Mode::Exhaustive => ("exhaustive", None),
    };
    let closer = analytic.as_ref().map(|null| null.closer);
    let permuted = permutation.as_ref().map(|null| null.closer);
    let matrix_id: i32 = connection.query_row(
        "INSERT INTO knnscope_matrices (method, matrix_name, layer, projection, row_count, column_count, dtype, density, \
         mode, n_samples, n_neighbors, seed, permutations, fdr, pairs, mean_pair_distance, null_mean_pair_distance, \
         closer_share, closer_p, closer_share_permuted, closer_correlation_permuted, file) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        params![
            method,
            matrix_name,
            layer,
            projection,
            mask.rows() as i64,
            mask.columns() as i64,
            analysis.element,
            analysis.density,
            mode,
            samples,
            params.neighbours as i64,
            params.seed,
            permutation.as_ref().map_or(0, |null| null.permutations) as i64,
            params.fdr,
            pair_count(mask.columns()),
            pairs.mean(),
            analytic.as_ref().map(|null| null.mean),
            closer.map(|closer| closer.share),
            closer.and_then(|closer| closer.threshold),
            permuted.map(|closer| closer.share),
            permuted.and_then(|closer| closer.threshold),
            analysis.file,
        ],
        |row| row.get(0),
    )?;
    let mut metric = connection.prepare(&format!(
        "INSERT INTO {TABLE} (method, matrix_name, layer, projection, feature_idx, n_neighbors, mean_pairwise_distance, \
         zeros, ones, duplicates, total_dups, unique_rows, density) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         RETURNING id"
    ))?;
    let mut group = connection.prepare("INSERT INTO knnscope_groups VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for analysed in &analysis.groups {
        let figures = &analysed.metrics;
        let metric_id: i32 = metric.query_row(
            params![
                method,
                matrix_name,
                layer,
                projection,
                analysed.group.feature,
                analysed.group.columns.len() as i64,
                figures.mean_pairwise_distance,
                figures.zeros as i64,
                figures.ones as i64,
                figures.duplicates as i64,
                figures.total_dups as i64,
                figures.unique_rows as i64,
                figures.density,
            ],
            |row| row.get(0),
        )?;
        let columns: Vec<String> = analysed.group.columns.iter().map(u32::to_string).collect();
        group.execute(params![
            metric_id,
            matrix_id,
            columns.join(", "),
            figures.mean_pair_distance,
            figures.std_pair_distance,
            analysed.chance.map(|chance| chance.expected),
            analysed.chance.and_then(|chance| chance.z).filter(|z| z.is_finite()),
            analysed.chance.map(|chance| chance.p),
        ])?;
    }
    insert_curves(connection, matrix_id, analysis)?;
    let mut pattern = connection.prepare("INSERT INTO knnscope_patterns VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for report in &analysis.patterns {
        for (direction, check) in [("rows", &report.rows), ("columns", &report.columns)] {
            let PatternCheck { satisfied, blocks, satisfied_blocks } = check;
            pattern.execute(params![
                matrix_id,
                report.pattern.name(),
                direction,
                satisfied.len() as i64,
                check.lines() as i64,
                blocks,
                satisfied_blocks,
                check.ranges(),
            ])?;
        }
    }
    Ok(())
}

/// Columns with those nearest to each, pairs by distance where there are any, and the nulls where they are neither 0 nor 1.
fn insert_curves(connection: &Connection, matrix_id: i32, analysis: &Analysis) -> duckdb::Result<()> {
    let rows = analysis.mask.rows() as f64;
    let mut columns = connection.appender("knnscope_columns")?;
    for column in 0..analysis.mask.columns() {
        let nearest: Vec<(u32, u32)> = analysis.pairs.nearest.of(column).collect();
        let named: Vec<String> = nearest.iter().map(|(other, _)| other.to_string()).collect();
        columns.append_row(params![
            matrix_id,
            column as i64,
            analysis.mask.by_column.ones(column) as f64 / rows,
            named.join(", "),
            nearest.first().map(|&(_, distance)| f64::from(distance) / rows)
        ])?;
    }
    columns.flush()?;
    let mut histogram = connection.appender("knnscope_pair_histograms")?;
    let total = analysis.pairs.pairs() as f64;
    let mut below = 0;
    for (differing, &count) in analysis.pairs.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        below += count;
        histogram.append_row(params![
            matrix_id,
            differing as i64,
            differing as f64 / rows,
            count,
            below as f64 / total
        ])?;
    }
    histogram.flush()?;
    let Some(analytic) = &analysis.analytic else { return Ok(()) };
    let band = |differing: usize| analysis.permutation.as_ref().map(|null| null.band[differing]);
    let is_telling = |share: f64| share > 1e-12 && share < 1.0 - 1e-12;
    let mut nulls = connection.appender("knnscope_nulls")?;
    for (differing, &independent) in analytic.cumulative.iter().enumerate() {
        let band = band(differing);
        if is_telling(independent) || band.is_some_and(|(low, high)| is_telling(low) || is_telling(high)) {
            nulls.append_row(params![
                matrix_id,
                differing as i64,
                differing as f64 / rows,
                independent,
                band.map(|band| band.0),
                band.map(|band| band.1)
            ])?;
        }
    }
    nulls.flush()
}

/// Stands before a question that is checked, see [`table_of`].
const ASKED_BEFORE: &str = "DESCRIBE (";

/// What DuckDB says about a question, without what was put before it: "LINE 1: …" and below it a caret.
fn about_question(said: &str) -> String {
    let before = format!("LINE 1: {ASKED_BEFORE}");
    let mut is_shown = false;
    let lines = said.lines().map(|line| {
        let was_shown = std::mem::replace(&mut is_shown, false);
        if let Some(rest) = line.strip_prefix(&before) {
            is_shown = true;
            return format!("LINE 1: {rest}");
        }
        let moved = line.strip_prefix(&" ".repeat(ASKED_BEFORE.len())).filter(|_| was_shown);
        moved.unwrap_or(line).to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn table_of(connection: &Connection, sql: &str, most: Option<usize>) -> duckdb::Result<Table> {
    // Within parentheses nothing but one question stands; what is wrong is told of its own lines.
    let mut columns = Vec::new();
    {
        let mut described = connection.prepare(&format!("{ASKED_BEFORE}{sql}\n)"))?;
        let mut rows = described.query([])?;
        while let Some(row) = rows.next()? {
            let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
            let kind = kind.split('(').next().unwrap_or_default();
            const NUMBERS: [&str; 13] = [
                "TINYINT",
                "SMALLINT",
                "INTEGER",
                "BIGINT",
                "HUGEINT",
                "UTINYINT",
                "USMALLINT",
                "UINTEGER",
                "UBIGINT",
                "UHUGEINT",
                "FLOAT",
                "DOUBLE",
                "DECIMAL",
            ];
            columns.push(Column { name, is_number: NUMBERS.contains(&kind) });
        }
    }
    let limit = most.map_or_else(String::new, |most| format!(" LIMIT {}", most + 1));
    let mut statement = connection.prepare(&format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql}\n){limit}"))?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cell = |index| match row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => row.get::<_, String>(index).map(Some),
        };
        rows.push((0..columns.len()).map(cell).collect::<duckdb::Result<Vec<_>>>()?);
    }
    let is_cut = most.is_some_and(|most| rows.len() > most);
    rows.truncate(most.unwrap_or(usize::MAX));
    Ok(Table { columns, rows, is_cut })
}
