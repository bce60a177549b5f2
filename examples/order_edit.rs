//! Ten people edit one order at once, and nobody undoes what another has saved:
//! a save names the version that it was made from.
//!
//! ```text
//! cargo run --release --example order_edit              # starts its own server
//! cargo run --release --example order_edit 127.0.0.1:6379
//! ```

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const ORDER: &str = "order_edit:7";
const EDITORS: usize = 10;

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut owner = server.connect()?;
    cmd("SET").arg(ORDER).arg("Order 7").arg("WITHETAG").exec(&mut owner)?;

    let retries = server.at_once(EDITORS, |number, editor| {
        add_line(editor, &format!("one thing for editor {number}"))
    })?;
    println!("Saves that came too late and were made again: {}", retries.iter().sum::<usize>());
    let order: String = cmd("GETDEL").arg(ORDER).query(&mut owner)?;
    println!("{order}");
    claim(order.lines().count() == 1 + EDITORS, "every line is there")
}

/// Answers how often it had to start again.
fn add_line(editor: &mut Connection, line: &str) -> Result<usize> {
    let (mut version, mut order): (u64, String) = cmd("GETWITHETAG").arg(ORDER).query(editor)?;
    for retries in 0.. {
        // People take their time.
        sleep(Duration::from_millis(5));
        let edited = format!("{order}\n{line}");
        let mut save = cmd("SETIFMATCH");
        save.arg(ORDER).arg(edited).arg(version);
        match save.query(editor)? {
            (_, None) => return Ok(retries),
            // Too late: the reply is what there is now, no second read.
            (newer, Some(current)) => (version, order) = (newer, current),
        }
    }
    unreachable!("there is no last retry")
}
