//! Several people edit one order: each reads it, adds a line, and saves it.

use redis::{cmd, pipe};

use crate::Result;
use crate::scenario::{Fact, Kind, Scenario, Way};
use crate::stage::{Client, Stage, pause};

const ORDER: &str = "races:order";
const EDITORS: usize = 10;
const EDITS: usize = 5;
const EDIT_MS: u64 = 1;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "order-edit",
    title: |options| format!("One order, {} editors", EDITORS.min(options.clients)),
    clients: |options| EDITORS.min(options.clients),
    facts: &[Fact::exactly("lost updates", 0.0)],
    ways: &[
        Way {
            kind: Kind::Naive,
            label: "GET, then SET",
            needs: &["GET"],
            play: |stage| Box::pin(session(stage, naive)),
        },
        Way {
            kind: Kind::Today,
            label: "WATCH loop",
            needs: &["WATCH"],
            play: |stage| Box::pin(session(stage, watch)),
        },
        Way {
            kind: Kind::Tollgate,
            label: "GETWITHETAG, SETIFMATCH",
            needs: &["SETIFMATCH"],
            play: |stage| Box::pin(session(stage, versioned)),
        },
    ],
};

async fn session(
    stage: &mut Stage<'_>,
    add: impl AsyncFn(&mut Client, &str) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut lost = 0;
    for _ in 0..stage.rounds {
        let _: () = stage.owner.ask(cmd("SET").arg(ORDER).arg("order 7")).await?;
        let editors = stage.clients.iter_mut().enumerate().map(async |(number, editor)| {
            for edit in 0..EDITS {
                add(editor, &format!("line {edit} of editor {number}")).await?;
            }
            Ok(EDITS)
        });
        let saved: usize = stage.clock.race(editors).await?.iter().sum();
        let order: String = stage.owner.ask(cmd("GET").arg(ORDER)).await?;
        lost += saved - order.lines().skip(1).count();
    }
    Ok(vec![lost as f64])
}

async fn edited(order: &str, line: &str) -> String {
    pause(EDIT_MS).await;
    format!("{order}\n{line}")
}

async fn naive(editor: &mut Client, line: &str) -> Result<()> {
    let order: String = editor.ask(cmd("GET").arg(ORDER)).await?;
    let order = edited(&order, line).await;
    Ok(editor.ask(cmd("SET").arg(ORDER).arg(order)).await?)
}

async fn watch(editor: &mut Client, line: &str) -> Result<()> {
    loop {
        let _: () = editor.ask(cmd("WATCH").arg(ORDER)).await?;
        let order: String = editor.ask(cmd("GET").arg(ORDER)).await?;
        let order = edited(&order, line).await;
        if editor.exec::<()>(pipe().atomic().set(ORDER, order).ignore()).await?.is_some() {
            return Ok(());
        }
        editor.note_retry(5);
    }
}

/// The reply to a save that came too late is the order to start again from.
async fn versioned(editor: &mut Client, line: &str) -> Result<()> {
    let (mut version, mut order): (u64, String) = editor.ask(cmd("GETWITHETAG").arg(ORDER)).await?;
    loop {
        let text = edited(&order, line).await;
        let save = cmd("SETIFMATCH").arg(ORDER).arg(text).arg(version).to_owned();
        match editor.ask(&save).await? {
            (_, None::<String>) => return Ok(()),
            (newer, Some(found)) => (version, order) = (newer, found),
        }
        editor.note_retry(1);
    }
}
