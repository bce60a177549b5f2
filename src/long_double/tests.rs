use super::*;

/// What Redis says where a text is no number.
const INVALID: &str = "ERR value is not a valid float";

/// What Redis says where the sum is no number.
const INFINITE: &str = "ERR increment would produce NaN or Infinity";

/// Value, increment, and what Redis 7.0 on x86-64 makes of them.
#[rustfmt::skip]
const SUMS: &[(&str, &str, &str)] = &[
    ("10.50", "0.1", "10.6"),
    ("5.0e3", "2.0e2", "5200"),
    ("3", "1.1", "4.1"),
    ("0", "0.1", "0.1"),
    ("0.1", "0.2", "0.3"),
    ("0.3", "-0.1", "0.2"),
    ("1", "-0.9", "0.1"),
    ("1.1", "2.2", "3.3"),
    ("100", "-100.1", "-0.1"),
    ("3.0e3", "200", "3200"),
    ("0.00000000000000001", "0", "0.00000000000000001"),
    ("0.000000000000000005", "0", "0"),
    ("0.0000000000000000051", "0", "0.00000000000000001"),
    ("1.5e-17", "0", "0.00000000000000002"),
    ("2.5e-17", "0", "0.00000000000000002"),
    ("0x3p-58", "0", "0.00000000000000001"),
    ("0x5p-60", "1", "1"),
    ("-0", "-0", "0"),
    ("-1e-18", "0", "0"),
    ("-1e-17", "0", "-0.00000000000000001"),
    ("1", "-1", "0"),
    ("9223372036854775807", "1", "9223372036854775808"),
    ("-9223372036854775808", "-1", "-9223372036854775809"),
    ("18446744073709551615", "1", "18446744073709551616"),
    ("18446744073709551615", "2", "18446744073709551616"),
    ("18446744073709551616", "1", "18446744073709551616"),
    ("36893488147419103233", "0", "36893488147419103232"),
    ("36893488147419103235", "0", "36893488147419103236"),
    ("9223372036854775807", "0.5", "9223372036854775807.5"),
    ("4611686018427387904", "0.25", "4611686018427387904"),
    ("1e19", "0.1", "10000000000000000000"),
    ("123456789012345678", "0.123456789", "123456789012345678.125"),
    ("999999999999.99999999999999999", "0", "1000000000000"),
    ("1e30", "1", "1000000000000000000024696061952"),
    ("0x1p100", "0x1p36", "1267650600228229401496703205376"),
    ("0x1p100", "0x1.8p37", "1267650600228229401771581112320"),
    ("1e300", "1e284", "1000000000000000099990554109914875476728534684137210245044964070845980984476935343863773219948829714558356674325376714394147863019843066073559770240761723237496980952926872935674496720740039923971327548529439545703696062479291856347277174925306196091002242528469587423398540423720737353014997394915328"),
    ("-1e25", "1e-25", "-10000000000000000000000000"),
    ("0x1p64", "-0x1p-1", "18446744073709551616"),
    ("0x1p64", "-0x1.8p-1", "18446744073709551615"),
    ("0x8000000000000001p0", "-0x1.8p-2", "9223372036854775809"),
    ("0x1p63", "-0x1p-70", "9223372036854775808"),
    ("0x1p127", "-0x8000000000000001p-1", "170141183460469231722463931679029329920"),
    ("0x1p127", "-0x8000000000000000p-1", "170141183460469231731687303715884105728"),
    ("-0x1p127", "0x7fffffffffffffffp-1", "-170141183460469231731687303715884105728"),
    ("0xffffffffffffffffp10", "0x8000000000000001p-54", "18889465931478580854784"),
    ("0x10", "0x1p-3", "16.125"),
    ("0X.8P1", "+.5", "1.5"),
    ("0xAbC.dEfP-2", "5.", "692.21771240234375"),
    ("1", "1E5", "100001"),
    ("00012", "0.50", "12.5"),
    ("0e99999999999999999999", "1", "1"),
    ("1", "0x1p-16445", "1"),
    ("1", "3.7e-4951", "1"),
    ("1", "1.9e-4951", "1"),
    ("1", "1.8e-4951", INVALID),
    ("1", "1e-4960", INVALID),
    ("1", "0x1p-16446", INVALID),
    ("1", "0x1.8p-16446", "1"),
    ("1", "1.2e4932", INVALID),
    ("1", "1e99999999999999999999", INVALID),
    ("1", "inf", INFINITE),
    ("-Infinity", "1", INFINITE),
    ("1.1e4932", "1.1e4932", INFINITE),
    ("1", "nan", INVALID),
    ("1", "nan(1)", INVALID),
    ("1", "0x", INVALID),
    ("1", "0x.p1", INVALID),
    ("1", "0x1p", INVALID),
    ("1", "1e", INVALID),
    ("1", "1e+", INVALID),
    ("1", ".", INVALID),
    ("1", "", INVALID),
    ("1", " 1", INVALID),
    ("1", "1 ", INVALID),
    ("1", "1.2.3", INVALID),
    ("1", "--1", INVALID),
    ("1", "+-1", INVALID),
    ("1", "1d", INVALID),
    ("1", "1_0", INVALID),
    ("1", "\x0b1", INVALID),
    ("1", "1\0", INVALID),
    ("2.7182818284590452354", "0.4233108251307480", "3.14159265358979324"),
    ("3.14159265358979323846", "-1e-15", "3.14159265358979224"),
    ("7.1", "0", "7.1"),
    ("1234.5678", "8765.4322", "10000"),
    ("0.1234567890123456789", "1", "1.12345678901234568"),
];

fn sum(value: &str, increment: &str) -> String {
    let number = |text: &str| LongDouble::parse(text.as_bytes());
    let (Some(value), Some(increment)) = (number(value), number(increment)) else {
        return INVALID.to_owned();
    };
    value.checked_add(increment).map_or_else(|| INFINITE.to_owned(), |sum| sum.to_string())
}

#[test]
fn sums_are_those_of_redis() {
    for (value, increment, expected) in SUMS {
        assert_eq!(sum(value, increment), *expected, "{value} + {increment}");
        // Addition commutes, in floats too.
        assert_eq!(sum(increment, value), *expected, "{increment} + {value}");
    }
}

#[test]
fn the_largest_numbers_are_printed_in_full() {
    let ends = |text: &str| (text.len(), text[..40].to_owned(), text[text.len() - 40..].to_owned());
    let expected = |length, start: &str, end: &str| (length, start.to_owned(), end.to_owned());
    assert_eq!(
        ends(&sum("1e4932", "1e4931")),
        expected(
            4_933,
            "1100000000000000000038868581125278743253",
            "9379301162028953123205997527100062433280"
        )
    );
    let largest = "0x1.fffffffffffffffep16383";
    let printed = expected(
        4_933,
        "1189731495357231765021263853030970205169",
        "8849149662444156604419552086811989770240",
    );
    assert_eq!(ends(&sum(largest, "0")), printed);
    assert_eq!(ends(&sum(largest, "0x1.fffffffffffffffep16318")), printed, "below a half");
    assert_eq!(sum(largest, "0x1p16319"), INFINITE, "a half rounds up");
    assert_eq!(sum("0x1.ffffffffffffffffp16383", "0"), INVALID);
}

#[test]
fn texts_have_a_limit() {
    let padded = |bytes: usize| format!("{:0>bytes$}", 1);
    assert_eq!(sum(&padded(5_119), "1"), "2");
    assert_eq!(sum(&padded(5_120), "1"), INVALID);
    // The longest of them, at exponents that just stay in range.
    let long = "7".repeat(5_000);
    assert_eq!(sum(&format!("0.{long}"), "0"), "0.77777777777777778");
    assert_eq!(sum(&format!("{long}e-4999"), "0"), "7.77777777777777778");
    assert_eq!(sum(&format!("{long}e-9949"), "1"), "1");
    assert_eq!(sum(&format!("{long}e-9951"), "1"), INVALID);
    assert_eq!(sum(&format!("0x{long}p-20000"), "-0x7.777777777777777p-4"), "0");
}

#[test]
fn what_is_cut_from_a_long_text_still_decides_a_half() {
    // 2^64 + 1 is half way between two long doubles; the even one is 2^64.
    for (text, expected) in [
        ("18446744073709551617", "18446744073709551616"),
        ("18446744073709551617.", "18446744073709551616"),
        ("0x10000000000000001", "18446744073709551616"),
        ("18446744073709551616.9", "18446744073709551616"),
    ] {
        assert_eq!(sum(text, "0"), expected);
    }
    let above = format!("18446744073709551617.{}1", "0".repeat(4_000));
    assert_eq!(sum(&above, "0"), "18446744073709551618");
    let above = format!("0x10000000000000001.{}1", "0".repeat(4_000));
    assert_eq!(sum(&above, "0"), "18446744073709551618");
}

#[test]
fn small_sums_agree_with_exact_fractions() {
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..5_000 {
        // Multiples of 2^-17 below 2^46 are exact, have 17 decimals at most, and
        // print as themselves.
        let (a, b) = (rng.i64(-1 << 62..1 << 62), rng.i64(-1 << 62..1 << 62));
        let (a, b) = (a >> rng.u32(0..62), b >> rng.u32(0..62));
        let text = |units: i64| format!("{}0x{:x}p-17", sign(units), units.unsigned_abs());
        let (units, decimals) = ((a + b).unsigned_abs(), 10_u128.pow(17));
        let scaled = u128::from(units) * 5_u128.pow(17);
        let expected = format!("{}{}.{:017}", sign(a + b), scaled / decimals, scaled % decimals);
        let expected = expected.trim_end_matches('0').trim_end_matches('.');
        assert_eq!(sum(&text(a), &text(b)), expected);
    }
}

fn sign(units: i64) -> &'static str {
    if units < 0 { "-" } else { "" }
}

#[test]
fn integers_are_exact() {
    for value in [0, 1, -1, 7, i64::MAX, i64::MIN, i64::MIN + 1, 1 << 53 | 1] {
        assert_eq!(LongDouble::from(value).to_string(), value.to_string());
        assert_eq!(Some(LongDouble::from(value)), LongDouble::parse(value.to_string().as_bytes()));
    }
}
