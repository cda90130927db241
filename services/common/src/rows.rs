//! CSV rows with the line on which each begins, as an editor counts them.
//!
//! The library's own positions are off after blank lines and with CRLF. Here every row ends with a line feed, so the
//! line of a row follows from how many lines have been read when it has been.

use std::io::{self, Chain, Read};

use csv::{ByteRecord, Position, Reader, ReaderBuilder, StringRecord, Terminator};

/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 1 << 18;

type Source<R> = Chain<R, &'static [u8]>;

/// Reads rows one after another; any number of cells.
pub struct Rows<R: Read> {
    reader: Reader<Source<R>>,
    record: ByteRecord,
}

/// A row, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// Byte at which it ends.
    pub end: u64,
    /// Its cells, without surrounding space; the text says what is wrong with it.
    pub cells: Result<StringRecord, &'static str>,
}

impl<R: Read> Rows<R> {
    /// Reads from a file.
    pub fn new(file: R) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n'));
        builder.buffer_capacity(BUFFER_BYTES);
        // The last line may lack its end.
        Self { reader: builder.from_reader(file.chain(&b"\n"[..])), record: ByteRecord::new() }
    }

    /// Returns the next row; `None` at the end. Blank lines are passed over.
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
        let Some((line, bytes)) = self.next_bytes()? else { return Ok(None) };
        // A clone would be as large as the largest row so far.
        let mut record = ByteRecord::with_capacity(bytes.as_slice().len(), bytes.len());
        bytes.iter().for_each(|cell| record.push_field(cell.trim_ascii()));
        let cells = match StringRecord::from_byte_record(record) {
            Ok(cells) if line == 1 => Ok(without_mark(&cells)),
            Ok(cells) => Ok(cells),
            Err(_) => Err("is not UTF-8"),
        };
        Ok(Some(Row { line, end: self.reader.position().byte(), cells }))
    }

    /// Returns the line and the bytes of the next row as they stand in the file, with surrounding space; `None` at the
    /// end. Blank lines are passed over.
    pub fn next_bytes(&mut self) -> io::Result<Option<(u64, &ByteRecord)>> {
        loop {
            if !self.reader.read_byte_record(&mut self.record)? {
                return Ok(None);
            }
            let blank = self.record.len() <= 1 && self.record.as_slice().trim_ascii().is_empty();
            if !blank {
                break;
            }
        }
        // The library's line is the one from which it looked for the row: blank lines follow it.
        let looked_from = self.record.position().map_or(1, Position::line);
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        // A row in which a quote is never closed has no end of its own.
        let blank = (self.reader.position().line() - looked_from).saturating_sub(inside + 1);
        Ok(Some((looked_from + blank, &self.record)))
    }
}

/// Drops the byte order mark that some programs begin a file with.
fn without_mark(cells: &StringRecord) -> StringRecord {
    cells.iter().map(|cell| cell.trim_start_matches('\u{feff}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(u64, Result<Vec<String>, &'static str>)> {
        let mut rows = Rows::new(text);
        let mut found = vec![];
        while let Some(row) = rows.next_row().unwrap() {
            found.push((row.line, row.cells.map(|cells| cells.iter().map(str::to_owned).collect())));
        }
        found
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let cells = |cells: &[&str]| Ok(cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
        let expected = vec![
            (1, cells(&["a", "b"])),
            (4, cells(&["1", "2\n3"])),
            (6, Err("is not UTF-8")),
            (7, cells(&["4"])),
        ];
        assert_eq!(lines(b"\xef\xbb\xbfa,b\n\n\n1,\"2\n3\"\n\xff,x\n4"), expected);
        let windows = lines(b"a,b\r\n\r\n1 , 2\r\n4\r\n");
        assert_eq!(windows, [(1, cells(&["a", "b"])), (3, cells(&["1", "2"])), (4, cells(&["4"]))]);
        assert_eq!(lines(b""), []);
        let open = lines(b"a\nb\n\"c\nd\n");
        assert_eq!(open.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
