//! A checkout as a saga: reserve all of an order, charge the card, then confirm,
//! or cancel if the card is declined. Buyers who crash between the steps leave
//! a hold behind, and the server takes it back when its time is over.
//!
//! ```text
//! cargo run --release --example checkout_saga              # starts its own server
//! cargo run --release --example checkout_saga 127.0.0.1:6379
//! ```

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{Result, Server, claim};
use redis::{Connection, cmd};

const PRODUCTS: [&str; 3] = ["saga:tent", "saga:stove", "saga:lamp"];
const STOCK: i64 = 10;
const BUYERS: usize = 20;
/// How long a buyer has to pay.
const HOLD: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    SoldOut,
    Bought,
    Declined,
    Crashed,
}

fn main() -> Result<()> {
    let server = Server::from_args()?;
    let mut shop = server.connect()?;
    for product in PRODUCTS {
        cmd("SET").arg(product).arg(STOCK).exec(&mut shop)?;
    }
    let mut sold = 0;
    for day in 1..=2 {
        let orders = server.at_once(BUYERS, |number, buyer| {
            order(buyer, &format!("saga:order:{day}:{number}"), day == 1 && number % 3 == 0)
        })?;
        for kind in [Order::Bought, Order::Declined, Order::Crashed, Order::SoldOut] {
            let count = orders.iter().filter(|&&order| order == kind).count();
            println!("Day {day}: {count:>2} {kind:?}");
            sold += if kind == Order::Bought { count as i64 } else { 0 };
        }
        sleep(HOLD);
        let left: Vec<i64> = cmd("MGET").arg(&PRODUCTS).query(&mut shop)?;
        println!("Day {day}: {left:?} left when all holds are over");
        let adds_up = left.iter().all(|&units| units == STOCK - sold);
        claim(adds_up, "every unit is either sold or for sale")?;
    }
    cmd("DEL").arg(&PRODUCTS).exec(&mut shop)?;
    Ok(())
}

fn order(buyer: &mut Connection, hold: &str, crashes: bool) -> Result<Order> {
    let mut reserve = cmd("STOCK.HOLD");
    reserve.arg(hold).arg("PX").arg(HOLD.as_millis() as u64);
    for product in PRODUCTS {
        reserve.arg(product).arg(1);
    }
    // What remains of each; the hold was placed if none is negative.
    let remains: Vec<i64> = reserve.query(buyer)?;
    if remains.iter().any(|&units| units < 0) {
        return Ok(Order::SoldOut);
    }
    if crashes {
        return Ok(Order::Crashed);
    }
    if !charge(hold) {
        cmd("STOCK.CANCEL").arg(hold).exec(buyer)?;
        return Ok(Order::Declined);
    }
    // -1 if paying took too long: the units are gone, the money goes back.
    let confirmed: i64 = cmd("STOCK.CONFIRM").arg(hold).query(buyer)?;
    Ok(if confirmed == 1 { Order::Bought } else { Order::Declined })
}

/// The bank, which declines some.
fn charge(order: &str) -> bool {
    sleep(Duration::from_millis(20));
    !order.ends_with('4')
}
