//! A life in words, for whoever looks for the cause of a failure.

use engine::Decision;

use super::history::Happened;
use super::life::{Life, MORNING};
use crate::words;

impl Life {
    /// What happened, with the records and what followed from each.
    pub fn words(&self) -> String {
        let mut text = String::new();
        for entry in &self.history {
            text.push_str(&entry.words(&self.roster, MORNING));
            text.push('\n');
            if let Happened::Appended(first, last) = entry.what {
                for seq in first.0..=last.0 {
                    self.record_words(seq, &mut text);
                }
            }
        }
        text
    }

    /// A record that the log has lost since is not told any more.
    fn record_words(&self, seq: u64, text: &mut String) {
        let Some(record) = self.story.records.get(seq as usize - 1) else { return };
        let from = self.story.issued.partition_point(|(of, _)| *of < seq);
        let issued = self.story.issued[from..].iter().take_while(|(of, _)| *of == seq);
        let decisions: Vec<Decision> = issued.map(|(_, effect)| Decision::Effect(effect.clone())).collect();
        for line in words::turn(record, &decisions).lines() {
            text.push_str("             | ");
            text.push_str(line);
            text.push('\n');
        }
    }
}
