//! A flash sale: many buyers, few items, and what reading before writing does.
//!
//! Every buyer first does what most shops do (GET the stock, and if there is
//! some, SET it to one less), then the same sale again with `DECRIFPOS`.
//!
//! ```text
//! cargo run --release --example flash_sale              # starts its own server
//! cargo run --release --example flash_sale 127.0.0.1:6379 [BUYERS] [STOCK]
//! ```

mod common;

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const BUYERS: usize = 100;
const STOCK: i64 = 10;
const KEY: &str = "flash_sale:stock";

/// One attempt to buy: whether this buyer got an item.
type Buy = fn(&mut Connection) -> Result<bool>;

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut counts = std::env::args().skip(2);
    let buyers = counts.next().map_or(Ok(BUYERS), |count| count.parse())?;
    let stock = counts.next().map_or(Ok(STOCK), |count| count.parse())?;

    println!("{buyers} buyers want one each of {stock} items.\n");
    println!("{:<28}{:>6}{:>10}{:>18}", "", "sold", "oversold", "stock afterwards");
    let mut oversold = 0;
    for (name, buy) in [("GET, then SET", naive as Buy), ("DECRIFPOS", one_step as Buy)] {
        let (sold, left) = sale(&server, buyers, stock, buy)?;
        oversold = (sold - stock).max(0);
        println!("{name:<28}{sold:>6}{oversold:>10}{left:>18}");
    }
    println!();
    claim(oversold == 0, "DECRIFPOS has sold nothing that was not there")
}

/// Two steps, and between them anybody may do the same.
fn naive(buyer: &mut Connection) -> Result<bool> {
    let stock: i64 = cmd("GET").arg(KEY).query(buyer)?;
    if stock <= 0 {
        return Ok(false);
    }
    cmd("SET").arg(KEY).arg(stock - 1).exec(buyer)?;
    Ok(true)
}

/// One step: what remains, or -1 when there is not enough.
fn one_step(buyer: &mut Connection) -> Result<bool> {
    let remains: i64 = cmd("DECRIFPOS").arg(KEY).query(buyer)?;
    Ok(remains >= 0)
}

/// Lets all buyers buy at the same moment; answers how many got an item, and
/// what the counter says then.
fn sale(server: &Server, buyers: usize, stock: i64, buy: Buy) -> Result<(i64, i64)> {
    let mut shop = server.connect()?;
    cmd("SET").arg(KEY).arg(stock).exec(&mut shop)?;
    let bought = server.at_once(buyers, |_, buyer| buy(buyer))?;
    let sold = bought.into_iter().map(i64::from).sum();
    let left = cmd("GETDEL").arg(KEY).query(&mut shop)?;
    Ok((sold, left))
}
