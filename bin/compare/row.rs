//! Rows of a comparison: encodings, and the numbers of theirs that are tried.

use anyhow::{Result, bail};
use nn::PositionConfig;
use toml::Value;

use crate::recipe::encoding;

/// An encoding, of a captioner in a grouping of its coordinates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    usual: PositionConfig,
    grouping: Option<String>,
}

impl Row {
    /// `ENCODING` or `ENCODING:GROUPING`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (name, grouping) = match text.split_once(':') {
            Some((name, grouping)) => (name, Some(grouping.to_owned())),
            None => (text, None),
        };
        let usual = encoding("--encodings: ", name)?;
        Ok(Self { name: text.replace(':', " "), usual, grouping })
    }

    /// The name of its folder.
    pub(super) fn folder(&self) -> String {
        self.name.replace(' ', "-")
    }

    /// Numbers to try, the usual ones first, `most` at most; one choice only for encodings that have no numbers.
    ///
    /// What is varied: γ, |F| and |H| together where there are such; otherwise the temperature, the width of the MLP, or how large
    /// a table starts.
    pub(super) fn candidates(&self, most: usize) -> Vec<PositionConfig> {
        let mut found = vec![self.usual.clone()];
        let others = choices(&self.usual).into_iter().filter(|choice| *choice != self.usual);
        found.extend(others);
        found.truncate(most.max(1));
        found
    }

    /// What is set in the recipe for these numbers.
    pub(super) fn settings(&self, position: &PositionConfig) -> Result<Vec<String>> {
        let mut settings = vec![format!("model.position={}", inline(position)?)];
        settings.extend(self.grouping.iter().map(|of| format!("model.grouping=\"{of}\"")));
        Ok(settings)
    }
}

/// An encoding as it stands in a recipe, on one line, its name first.
pub(super) fn inline(position: &PositionConfig) -> Result<String> {
    let Value::Table(numbers) = Value::try_from(position)? else { bail!("a table expected") };
    let numbers = numbers.into_iter().filter(|(key, _)| key != "kind");
    let numbers: Vec<String> = numbers.map(|(key, value)| format!(", {key} = {value}")).collect();
    Ok(format!("{{ kind = \"{}\"{} }}", position.name(), numbers.concat()))
}

/// Choices in the order of trying.
fn choices(kind: &PositionConfig) -> Vec<PositionConfig> {
    use PositionConfig::*;
    const GAMMAS: [f64; 8] = [0.2, 0.05, 0.5, 1.0, 0.1, 0.3, 2.0, 0.02];
    const HIDDEN: [usize; 8] = [32, 128, 64, 16, 256, 8, 512, 4];
    // γ, |F|, |H|; |F| = 0 is the model's width.
    const FOURIER: [(f64, usize, usize); 8] = [
        (0.2, 0, 32),
        (0.05, 0, 64),
        (0.5, 32, 128),
        (1.0, 128, 32),
        (0.1, 0, 128),
        (0.3, 128, 64),
        (0.2, 32, 64),
        (2.0, 0, 32),
    ];
    const TEMPERATURES: [f64; 8] = [10_000.0, 100.0, 20.0, 1_000.0, 5.0, 50.0, 2.0, 100_000.0];
    const TURNS: [f64; 8] = [100.0, 10.0, 1_000.0, 30.0, 3.0, 300.0, 10_000.0, 2.0];
    const SCALES: [f64; 8] = [0.02, 0.1, 0.5, 0.005, 1.0, 0.2, 0.05, 2.0];
    let gamma = |make: fn(f64) -> PositionConfig| GAMMAS.into_iter().map(make).collect();
    let turn = |make: fn(f64) -> PositionConfig| TURNS.into_iter().map(make).collect();
    let scale = |make: fn(f64) -> PositionConfig| SCALES.into_iter().map(make).collect();
    let fourier = |make: fn((f64, usize, usize)) -> PositionConfig| -> Vec<PositionConfig> {
        FOURIER.into_iter().map(make).collect()
    };
    match kind {
        None {} | Alibi {} => Vec::new(),
        Embed1d { .. } => scale(|std| Embed1d { std }),
        Embed2d { .. } => scale(|std| Embed2d { std }),
        Factorized { .. } => scale(|std| Factorized { std }),
        Sine1d { .. } => TEMPERATURES.map(|temperature| Sine1d { temperature }).into(),
        Sine2d { .. } => TEMPERATURES.map(|temperature| Sine2d { temperature }).into(),
        SineMlp { .. } => {
            let both = TEMPERATURES.into_iter().zip(HIDDEN);
            both.map(|(temperature, hidden)| SineMlp { temperature, hidden }).collect()
        }
        Mlp { .. } => HIDDEN.map(|hidden| Mlp { hidden }).into(),
        RelativeMlp { .. } => HIDDEN.map(|hidden| RelativeMlp { hidden }).into(),
        Lff { .. } => gamma(|gamma| Lff { gamma }),
        FixedFourier { .. } => gamma(|gamma| FixedFourier { gamma }),
        LffMlp { .. } => fourier(|(gamma, features, hidden)| LffMlp { gamma, features, hidden }),
        FixedFourierMlp { .. } => {
            fourier(|(gamma, features, hidden)| FixedFourierMlp { gamma, features, hidden })
        }
        RelativeLff { .. } => {
            fourier(|(gamma, features, hidden)| RelativeLff { gamma, features, hidden })
        }
        RopeAxial { .. } => turn(|temperature| RopeAxial { temperature }),
        RopeMixed { .. } => turn(|temperature| RopeMixed { temperature }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_with_numbers_has_as_many_choices_and_the_usual_ones_come_first() {
        for kind in PositionConfig::all(0.2) {
            let row = Row::parse(kind.name()).expect("known");
            let found = row.candidates(8);
            assert_eq!(found[0], kind, "{}", kind.name());
            let expected = match kind {
                PositionConfig::None {} | PositionConfig::Alibi {} => 1,
                _ => 8,
            };
            assert_eq!(found.len(), expected, "{}", kind.name());
            assert!((1..found.len()).all(|i| !found[i..].contains(&found[i - 1])));
            assert!(found.iter().all(|choice| choice.name() == kind.name()));
        }
    }

    #[test]
    fn a_row_is_an_encoding_and_may_have_a_grouping() {
        let row = Row::parse("lff:4x1").expect("known");
        let settings = row.settings(&row.candidates(1)[0]).expect("TOML");
        assert_eq!(
            settings,
            ["model.position={ kind = \"lff\", gamma = 0.2 }", "model.grouping=\"4x1\""]
        );
        assert_eq!((row.name.as_str(), row.folder().as_str()), ("lff 4x1", "lff-4x1"));
        let refused = format!("{:#}", Row::parse("lfff").expect_err("no such"));
        assert!(refused.starts_with("--encodings: `lfff`: no such encoding"), "{refused}");
    }
}
