//! Figures side by side, and which of ours are not as they should be.

use crate::Result;

/// What one of our figures must be. Less is better in each column that has a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// At most `most` times another tool's.
    Ratio { column: usize, against: &'static str, most: f64 },
    /// At most this.
    Most { column: usize, most: f64 },
}

/// The figures of several tools, the first of which is ours.
pub(super) struct Table<'a> {
    pub(super) title: &'a str,
    /// What each figure is, with its unit.
    pub(super) columns: &'a [&'a str],
    /// A tool's name and its figures, NaN for what it does not have, or why there are none.
    pub(super) rows: Vec<(&'static str, Result<Vec<f64>>)>,
    pub(super) limits: &'a [Limit],
}

impl Table<'_> {
    /// Prints it, and returns what was missed.
    pub(super) fn print(&self) -> Vec<String> {
        println!("\n{}", self.title);
        let heads: String = self.columns.iter().map(|column| format!("{column:>22}")).collect();
        println!("  {:12}{heads}  (ours/it)", "");
        let ours = self.ours();
        for (name, figures) in &self.rows {
            match figures {
                Ok(figures) => {
                    let cells: String = figures
                        .iter()
                        .enumerate()
                        .map(|(column, &figure)| match ours.and_then(|ours| ours.get(column)) {
                            _ if figure.is_nan() => format!("{:>14}        ", "-"),
                            Some(&ours) if figure > 0.0 && !ours.is_nan() => {
                                format!("{figure:>14.2} ({:5.2})", ours / figure)
                            }
                            _ => format!("{figure:>14.2}        "),
                        })
                        .collect();
                    println!("  {name:12}{cells}");
                }
                Err(reason) => println!("  {name:12}  cannot run here: {reason}"),
            }
        }
        let verdicts = self.limits.iter().map(|&limit| self.verdict(limit));
        let mut missed = self.absent();
        for (met, text) in verdicts {
            println!("  {}: {text}", if met { "pass" } else { "MISS" });
            if !met {
                missed.push(format!("{}: {text}", self.title));
            }
        }
        missed
    }

    fn ours(&self) -> Option<&Vec<f64>> {
        self.rows.first()?.1.as_ref().ok()
    }

    /// Tools without which this is no comparison.
    fn absent(&self) -> Vec<String> {
        let absent = self.rows.iter().filter_map(|(name, row)| Some((name, row.as_ref().err()?)));
        absent.map(|(name, reason)| format!("{}: no {name}: {reason}", self.title)).collect()
    }

    /// Whether a limit is kept, and in words.
    fn verdict(&self, limit: Limit) -> (bool, String) {
        let ours = |column: usize| self.ours().and_then(|ours| ours.get(column)).copied();
        match limit {
            Limit::Ratio { column, against, most } => {
                let row = self.rows.iter().find(|(name, _)| *name == against);
                let theirs = row.and_then(|(_, row)| row.as_ref().ok()?.get(column)).copied();
                let ratio = ours(column).zip(theirs).map(|(ours, theirs)| ours / theirs);
                let column = self.columns[column];
                match ratio {
                    Some(ratio) => (
                        ratio <= most,
                        format!("{column}: {ratio:.3} of the {against}'s, at most {most:.3}"),
                    ),
                    None => (false, format!("{column}: not measured against the {against}")),
                }
            }
            Limit::Most { column, most } => match (ours(column), self.columns[column]) {
                (Some(ours), name) => {
                    (ours <= most, format!("{name}: {ours:.2}, at most {most:.2}"))
                }
                (None, name) => (false, format!("{name}: not measured")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: Limit, met: bool, text: &str) {
        let rows = vec![
            ("thither", Ok(vec![2.0, 5.0])),
            ("other", Ok(vec![4.0, 5.0])),
            ("fourth", Ok(vec![4.0, f64::NAN])),
            ("third", Err("no moon".into())),
        ];
        let table = Table { title: "t", columns: &["wall", "cpu"], rows, limits: &[limit] };
        assert_eq!(table.verdict(limit), (met, text.to_owned()));
        let mut missed = vec!["t: no third: no moon".to_owned()];
        if !met {
            missed.push(format!("t: {text}"));
        }
        assert_eq!(table.print(), missed);
    }

    #[test]
    fn limits() {
        let ratio = |column, against, most| Limit::Ratio { column, against, most };
        check(ratio(0, "other", 0.5), true, "wall: 0.500 of the other's, at most 0.500");
        check(ratio(0, "other", 0.49), false, "wall: 0.500 of the other's, at most 0.490");
        check(ratio(1, "third", 2.0), false, "cpu: not measured against the third");
        check(ratio(1, "fourth", 2.0), false, "cpu: NaN of the fourth's, at most 2.000");
        check(Limit::Most { column: 1, most: 5.0 }, true, "cpu: 5.00, at most 5.00");
        check(Limit::Most { column: 1, most: 4.9 }, false, "cpu: 5.00, at most 4.90");
    }
}
