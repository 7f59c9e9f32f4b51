//! `Comparing`: the work on one conversation, which threads share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use turnwise::plan::ResolvedBudget;
use turnwise::replay::{replay_with, replay_with_summaries};
use turnwise::strategy::parse;
use turnwise::{Models, Planner, Strategy};

use super::default_budget::Needs;
use super::evidence::Questions;
use super::{Messages, Row, Shown};
use crate::args::{BudgetArgs, Compare};
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};

/// What the conversations are compared with.
pub(super) struct Comparing<'a> {
    pub(super) args: &'a Compare,
    models: &'a Models,
    strategies: &'a [Box<dyn Strategy>],
    everything: Box<dyn Strategy>,
    questions: Option<&'a Questions>,
    /// Whether no more conversations are to be shown, so that their replays need not be kept.
    pub(super) is_enough_shown: AtomicBool,
}

/// One conversation under all strategies.
pub(super) struct Compared {
    pub(super) rows: Vec<Row>,
    pub(super) budget: ResolvedBudget,
    pub(super) shown: Option<Shown>,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(
        args: &'a Compare,
        models: &'a Models,
        strategies: &'a [Box<dyn Strategy>],
        questions: Option<&'a Questions>,
    ) -> Result<Self> {
        Ok(Self {
            args,
            models,
            strategies,
            everything: parse("everything")?,
            questions,
            is_enough_shown: AtomicBool::new(false),
        })
    }

    /// A row for each strategy, without any conversation.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.strategies.iter().enumerate().map(|(index, strategy)| Row::new(index, &**strategy)).collect()
    }

    /// What a conversation needs; the counts of its messages stay in it.
    pub(super) fn needs(&self, mut loaded: Loaded) -> Result<(Loaded, Needs)> {
        let unlimited = self.unlimited(&loaded)?;
        let needs = Needs::of(&mut loaded.file, &unlimited);
        let needs = needs.map_err(|e| Failure::from(e).within(&loaded.name))?;
        Ok((loaded, needs))
    }

    /// A planner that never trims.
    fn unlimited(&self, loaded: &Loaded) -> Result<Planner> {
        let budget = &self.args.budget;
        let budget = BudgetArgs { budget: Some(u64::MAX), reserve: None, model: budget.model.clone(), ..*budget };
        input::planner(self.models, &budget, &self.args.dialect, &loaded.file)
            .map_err(|failure| failure.within(&loaded.name))
    }

    /// Compares one conversation under all strategies.
    pub(super) fn one(&self, loaded: Loaded, budget: &BudgetArgs) -> Result<Compared> {
        let unlimited = self.unlimited(&loaded)?;
        let Loaded { name, mut file, .. } = loaded;
        let within = |e| Failure::from(e).within(&name);
        let planner =
            input::planner(self.models, budget, &self.args.dialect, &file).map_err(|failure| failure.within(&name))?;
        let model = self.args.budget.model.as_deref().or(file.model.as_deref());
        let price = model.and_then(|model| self.models.find(model).price);
        let extras = input::extras(&file);
        let talk = &file.conversation;
        let whole = replay_with(talk, &mut file.ledger, &unlimited, &*self.everything, &extras).map_err(within)?;
        let mut rows = self.rows();
        let mut replays = Vec::new();
        for (strategy, row) in self.strategies.iter().zip(&mut rows) {
            let began = Instant::now();
            let replay =
                replay_with_summaries(talk, &mut file.ledger, &planner, &**strategy, &extras).map_err(within)?;
            row.add(&input::known_as(&name, talk), talk, &replay, &whole.totals, price, began.elapsed());
            if let Some(questions) = self.questions {
                let ask = questions.ask(&name, talk, &mut file.ledger, &planner, &**strategy, &extras);
                row.evidence = ask.map_err(within)?;
            }
            replays.push(replay);
        }
        let limit = planner.budget().limit;
        let name = input::heading(&name, &file.conversation);
        let shown = Shown { name, messages: Messages(file.conversation), budget: limit, replays, price };
        let shown = (!self.is_enough_shown.load(Ordering::Relaxed)).then_some(shown);
        Ok(Compared { rows, budget: *planner.budget(), shown })
    }
}
