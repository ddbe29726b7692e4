//! Counts tests in what test binaries print.

use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) ignored: u32,
}

impl Counts {
    /// Adds the result of a test binary, if `line` is one.
    pub(super) fn add_line(&mut self, line: &str) {
        if let Some(counts) = parse(line) {
            *self += counts;
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

fn parse(line: &str) -> Option<Counts> {
    // A guest's kernel may print into the same line.
    let (_, result) = line.split_once("test result: ")?;
    let (_, fields) = result.split_once(". ")?;
    let count = |name: &str| {
        let field = fields.split("; ").find_map(|field| field.strip_suffix(name)?.strip_suffix(' '))?;
        field.parse().ok()
    };
    let (passed, failed, ignored) = (count("passed")?, count("failed")?, count("ignored")?);
    Some(Counts { passed, failed, ignored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut counts = Counts::default();
        let output = [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s",
            "[    7.1] link is up test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "the test result: nothing",
        ];
        for line in output {
            counts.add_line(line);
        }
        assert_eq!(counts, Counts { passed: 14, failed: 2, ignored: 1 });
    }
}
