//! A line on the terminal's standard error that shows how far the program is: how much of a large
//! file was read, or how many requests of all files were planned.

use std::fs::File;
use std::io::{IsTerminal, Read, Result, Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::output::is_dumb;
use crate::text::thousands;

/// Smaller files are read before anybody could look at a bar.
const LEAST: u64 = 8_000_000;
const FIRST_AFTER: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(100);
const CELLS: usize = 30;

/// The characters of the line that is shown now.
static SHOWN: AtomicUsize = AtomicUsize::new(0);
/// Whether no line is shown any more.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Whether one line is shown for all files, and not one for each.
static IS_FOR_ALL: AtomicBool = AtomicBool::new(false);
/// How many bytes of all files were read.
static READ: AtomicU64 = AtomicU64::new(0);

/// A file that shows how much of it was read.
pub(crate) struct Progress {
    file: File,
    /// Its length, if it is to be shown.
    len: Option<u64>,
    read: u64,
    begun: Instant,
    next: Instant,
}

impl Progress {
    pub(crate) fn of(file: File) -> Self {
        let len = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        let len = len.filter(|len| *len >= LEAST && is_possible());
        let begun = Instant::now();
        Self { file, len, read: 0, begun, next: begun + FIRST_AFTER }
    }

    fn draw(&mut self, len: u64) {
        let now = Instant::now();
        if now < self.next || STOPPED.load(Ordering::Relaxed) {
            return;
        }
        self.next = now + EVERY;
        show(&line(self.read, len, now - self.begun));
    }
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        READ.fetch_add(read as u64, Ordering::Relaxed);
        if IS_FOR_ALL.load(Ordering::Relaxed) {
            return Ok(read);
        }
        match self.len {
            Some(_) if read == 0 => clear(),
            Some(len) => self.draw(len),
            None => {}
        }
        Ok(read)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !IS_FOR_ALL.load(Ordering::Relaxed) {
            clear();
        }
    }
}

/// One line for all files of a command that plans their requests.
pub(crate) struct Planning {
    is_shown: bool,
    /// The bytes of all files; `None` if that of one is not known.
    len: Option<u64>,
    requests: u64,
    /// When the first requests were planned, and how many bytes had been read then.
    begun: Option<(Instant, u64)>,
    next: Instant,
}

impl Planning {
    /// For files that are read meanwhile, if any. It is not shown if results are printed on the same
    /// terminal meanwhile.
    pub(crate) fn of(files: &[PathBuf], is_printed_meanwhile: bool) -> Self {
        let is_shown = is_possible() && !(is_printed_meanwhile && stdout().is_terminal());
        IS_FOR_ALL.store(is_shown, Ordering::Relaxed);
        let len = |file: &PathBuf| Some(file.metadata().ok().filter(std::fs::Metadata::is_file)?.len());
        let len = if files.is_empty() { None } else { files.iter().map(len).sum() };
        READ.store(0, Ordering::Relaxed);
        Self { is_shown, len, requests: 0, begun: None, next: Instant::now() + FIRST_AFTER }
    }

    /// So many more requests were planned.
    pub(crate) fn add(&mut self, requests: usize) {
        if !self.is_shown {
            return;
        }
        let read = READ.load(Ordering::Relaxed);
        let now = Instant::now();
        let Some((begun, before)) = self.begun else {
            // How long the first ones took is not known: a resumed run skips others before them.
            self.begun = Some((now, read));
            return;
        };
        self.requests += requests as u64;
        if now >= self.next {
            self.next = now + EVERY;
            show(&planning_line(self.requests, now - begun, self.len.map(|len| (before, read, len))));
        }
    }
}

impl Drop for Planning {
    fn drop(&mut self) {
        clear();
        IS_FOR_ALL.store(false, Ordering::Relaxed);
    }
}

/// Whether there is a terminal that can show a line.
fn is_possible() -> bool {
    !is_dumb() && stderr().is_terminal()
}

fn show(line: &str) {
    let before = SHOWN.swap(line.len(), Ordering::Relaxed);
    // A bar that cannot be shown is no failure.
    let _ = write!(stderr(), "\r{line:before$}");
}

/// Removes the line, so that something else can be written there.
pub(crate) fn clear() {
    let shown = SHOWN.swap(0, Ordering::Relaxed);
    if shown > 0 {
        let _ = write!(stderr(), "\r{:shown$}\r", "");
    }
}

/// Removes the line before a result is printed. On a terminal none is shown afterwards, because it
/// would come between the lines of the result.
pub(crate) fn before_output() {
    if IS_FOR_ALL.load(Ordering::Relaxed) {
        return;
    }
    clear();
    if stdout().is_terminal() {
        STOPPED.store(true, Ordering::Relaxed);
    }
}

fn line(read: u64, len: u64, time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let read = read.min(len);
    // Bytes in a millisecond are kilobytes in a second.
    let rate = (read / milliseconds).max(1);
    let left = time_left((len - read) / rate / 1_000);
    format!("{}  {}.{} MB/s, {left} left", bar(read, len), rate / 1_000, rate % 1_000 / 100)
}

/// `bytes`: read before the first request, read until now, and of all files.
fn planning_line(requests: u64, time: Duration, bytes: Option<(u64, u64, u64)>) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = thousands(requests.saturating_mul(1_000) / milliseconds);
    let Some((before, read, len)) = bytes else {
        return format!("{} requests, {rate} a second", thousands(requests));
    };
    let bar = bar(read.min(len), len);
    // Files are read in large pieces, so it may take a while until the speed is known.
    match read.saturating_sub(before).saturating_mul(1_000) / milliseconds {
        0 => format!("{bar}  {rate} requests/s"),
        per_second => format!("{bar}  {rate} requests/s, {} left", time_left(len.saturating_sub(read) / per_second)),
    }
}

fn bar(done: u64, of: u64) -> String {
    let cells = usize::try_from(done * CELLS as u64 / of.max(1)).unwrap_or_default();
    let bar = "#".repeat(cells) + &"-".repeat(CELLS - cells);
    format!("[{bar}] {:3}%", done * 100 / of.max(1))
}

fn time_left(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_part_rate_and_time_left() {
        let line = |read, seconds| line(read, 1_000_000_000, Duration::from_secs(seconds));
        assert_eq!(line(500_000_000, 10), "[###############---------------]  50%  50.0 MB/s, 10 s left");
        assert_eq!(line(10_000_000, 10), "[------------------------------]   1%  1.0 MB/s, 16 min 30 s left");
        assert_eq!(line(1_000_000_000, 8), "[##############################] 100%  125.0 MB/s, 0 s left");
        assert!(line(0, 0).ends_with("left") && line(u64::MAX, u64::MAX).contains("100%"));
    }

    #[test]
    fn an_empty_file_has_a_line_too() {
        assert!(super::line(0, 0, Duration::ZERO).contains("  0%"));
    }

    #[test]
    fn a_line_for_all_files_shows_requests_in_a_second_and_the_time_left() {
        let line = |bytes| planning_line(60_000, Duration::from_secs(10), bytes);
        assert_eq!(line(Some((0, 500, 1_000))), "[###############---------------]  50%  6,000 requests/s, 10 s left");
        // What a resumed run only skips says nothing about its speed.
        assert!(line(Some((400, 500, 1_000))).ends_with("50 s left"));
        assert!(line(Some((500, 500, 1_000))).ends_with("6,000 requests/s"), "no speed is known yet");
        assert_eq!(line(None), "60,000 requests, 6,000 a second");
        assert!(planning_line(0, Duration::ZERO, Some((9, 9, 0))).contains("  0%"));
    }
}
