//! A flash sale: many buyers, few items, and what reading before writing does.
//!
//! Every buyer first does what most shops do (GET the stock, and if there is
//! some, SET it to one less), then the same sale again with `DECRIFPOS`.
//!
//! ```text
//! cargo run --release --example flash_sale              # starts its own server
//! cargo run --release --example flash_sale 127.0.0.1:6379 [BUYERS] [STOCK]
//! ```

use std::error::Error;
use std::sync::{Arc, Barrier};
use std::thread;

use redis::{Client, Connection, RedisResult};

const BUYERS: usize = 100;
const STOCK: i64 = 10;
const KEY: &str = "flash_sale:stock";

/// One attempt to buy: whether this buyer got an item.
type Buy = fn(&mut Connection) -> RedisResult<bool>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next();
    let buyers = args.next().map_or(Ok(BUYERS), |count| count.parse())?;
    let stock = args.next().map_or(Ok(STOCK), |count| count.parse())?;

    let own_server = match &address {
        Some(_) => None,
        None => Some(tollgate::server::Server::builder().port(0).start()?),
    };
    let address = address.unwrap_or_else(|| {
        own_server.as_ref().expect("started when no address is given").addr().to_string()
    });
    let client = Client::open(format!("redis://{address}/"))?;

    println!("{buyers} buyers want one each of {stock} items.\n");
    println!("{:<28}{:>6}{:>10}{:>18}", "", "sold", "oversold", "stock afterwards");
    for (name, buy) in [("GET, then SET", naive as Buy), ("DECRIFPOS", one_step as Buy)] {
        let (sold, left) = sale(&client, buyers, stock, buy)?;
        println!("{name:<28}{sold:>6}{:>10}{left:>18}", (sold - stock).max(0));
    }
    Ok(())
}

/// Two steps, and between them anybody may do the same.
fn naive(connection: &mut Connection) -> RedisResult<bool> {
    let stock: i64 = redis::cmd("GET").arg(KEY).query(connection)?;
    if stock <= 0 {
        return Ok(false);
    }
    redis::cmd("SET").arg(KEY).arg(stock - 1).exec(connection)?;
    Ok(true)
}

/// One step: what remains, or -1 when there is not enough.
fn one_step(connection: &mut Connection) -> RedisResult<bool> {
    let remains: i64 = redis::cmd("DECRIFPOS").arg(KEY).query(connection)?;
    Ok(remains >= 0)
}

/// Lets all buyers buy at the same moment; answers how many got an item, and
/// what the counter says then.
fn sale(client: &Client, buyers: usize, stock: i64, buy: Buy) -> RedisResult<(i64, i64)> {
    let mut connection = client.get_connection()?;
    redis::cmd("SET").arg(KEY).arg(stock).exec(&mut connection)?;
    let start = Arc::new(Barrier::new(buyers));
    let threads: Vec<_> = (0..buyers)
        .map(|_| {
            let (client, start) = (client.clone(), Arc::clone(&start));
            thread::spawn(move || {
                // A buyer who cannot connect still has to come to the start,
                // since the others wait for everyone.
                let connection = client.get_connection();
                start.wait();
                buy(&mut connection?)
            })
        })
        .collect();
    let mut sold = 0;
    for buyer in threads {
        sold += i64::from(buyer.join().expect("a buyer does not panic")?);
    }
    let left = redis::cmd("GET").arg(KEY).query(&mut connection)?;
    redis::cmd("DEL").arg(KEY).exec(&mut connection)?;
    Ok((sold, left))
}
