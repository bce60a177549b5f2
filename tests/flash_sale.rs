//! Ten thousand buyers and one item, over real TCP: the server is a process of
//! its own, and all buyers are connected at once.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::resp::Reply;
use support::{crowd, target, tollgate};

const BUYERS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_item_is_sold_once_and_the_stock_never_goes_below_zero() {
    let server = tollgate::start();
    let buyers = crowd::fitting(BUYERS);
    let mut sockets: Vec<TcpStream> = (0..buyers)
        .map(|number| {
            let socket = TcpStream::connect(server.address())
                .unwrap_or_else(|error| panic!("buyer {number} cannot connect: {error}"));
            socket.set_nodelay(true).expect("a connected socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a connected socket");
            socket
        })
        .collect();
    let mut owner = server.connect();
    let info = owner.call(&["INFO", "clients"]);
    let info = String::from_utf8_lossy(info.text().expect("INFO is text")).into_owned();
    let connected: usize = info
        .lines()
        .find_map(|line| line.strip_prefix("connected_clients:"))
        .and_then(|count| count.trim().parse().ok())
        .expect("INFO counts the clients");
    assert!(connected > buyers, "all are connected at once, not {connected}");

    for stock in [1_i64, 500] {
        assert_eq!(owner.call(&["SET", "item", &stock.to_string()]), Reply::Simple(b"OK".to_vec()));
        let request = target::encode(&[b"DECRIFPOS".as_slice(), b"item"]);
        for socket in &mut sockets {
            socket.write_all(&request).expect("the server reads");
        }
        let mut remains = Vec::new();
        let mut refused = 0;
        for socket in &mut sockets {
            let mut line = String::new();
            BufReader::with_capacity(64, socket).read_line(&mut line).expect("the server answers");
            match line.trim_end() {
                ":-1" => refused += 1,
                number => remains.push(number[1..].parse::<i64>().expect("an integer reply")),
            }
        }
        remains.sort_unstable();
        let sold = stock.min(buyers as i64);
        let expected: Vec<i64> = (stock - sold..stock).collect();
        assert_eq!(remains, expected, "each item is sold once");
        assert_eq!(refused, buyers - remains.len(), "everyone else is told so");
        let left = (stock - sold).to_string();
        assert_eq!(owner.call(&["GET", "item"]), Reply::Bulk(left.into_bytes()));
    }
}
