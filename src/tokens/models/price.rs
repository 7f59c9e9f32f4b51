//! `Price` and `Dollars`: the price of tokens, in integers from the table to the sum.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The price of a model's tokens, in millionths of a dollar per million tokens: 2,500,000 is $2.50
/// per million.
///
/// In JSON, prices are dollars per million tokens, as decimal text: `{"input": "2.50", "output":
/// "10"}`.
///
/// # Examples
/// ```
/// use turnwise::Model;
///
/// let price = Model::find("gpt-4o-mini").price.ok_or("no price")?;
/// assert_eq!(price.of(10_000, 4_000, 500).to_string(), "$0.0015");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Price {
    /// The price of prompt tokens.
    #[serde(with = "decimal")]
    pub input: u64,
    /// The price of prompt tokens from the provider's cache; `None` if they cost as much as others.
    #[serde(default, with = "optional_decimal", skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// The price of reply tokens.
    #[serde(with = "decimal")]
    pub output: u64,
}

impl Price {
    /// Free of charge: the price of a model that you host yourself.
    pub const FREE: Self = Self::new(0, 0);

    /// A price of prompt tokens and of reply tokens, in millionths of a dollar per million tokens.
    /// Cached tokens cost as much as others.
    ///
    /// # Examples
    /// ```
    /// use turnwise::tokens::Price;
    ///
    /// // $2.50 per million prompt tokens, $10 per million reply tokens, $1.25 for cached ones.
    /// let price = Price::new(2_500_000, 10_000_000).with_cached(1_250_000);
    /// assert_eq!(price.of(1_000_000, 0, 0).to_string(), "$2.50");
    /// ```
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, cached: None, output }
    }

    /// The same price with another one for prompt tokens from the provider's cache.
    #[must_use]
    pub const fn with_cached(self, cached: u64) -> Self {
        Self { cached: Some(cached), ..self }
    }

    /// The cost of an exchange. `cached` is a part of the `prompt` tokens, as providers report it.
    pub fn of(&self, prompt: u64, cached: u64, completion: u64) -> Dollars {
        let cached = cached.min(prompt);
        // Millionths of a dollar per million tokens are picodollars per token.
        let part = |tokens: u64, price: u64| Dollars(tokens.saturating_mul(price));
        part(prompt - cached, self.input)
            + part(cached, self.cached.unwrap_or(self.input))
            + part(completion, self.output)
    }
}

/// An amount of money in picodollars (10^-12 dollars); it saturates at about 18 million dollars.
///
/// `Display` prints all digits (`$0.0000045`), or as many as asked for (`{:.2}`), rounded half up.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Dollars, Price};
///
/// let price: Price = serde_json::from_str(r#"{"input": "2.50", "cached": "1.25", "output": "10"}"#)?;
/// let cost = price.of(1_000, 0, 100);
/// assert_eq!(cost.to_string(), "$0.0035");
/// assert_eq!(format!("{:.2}", cost + Dollars::ZERO), "$0.00");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dollars(u64);

const DIGITS: usize = 12;
const DOLLAR: u64 = 1_000_000_000_000;

impl Dollars {
    /// What is left of it, at least nothing.
    pub(crate) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// No dollars.
    pub const ZERO: Self = Self(0);

    /// The amount in picodollars.
    pub fn picodollars(self) -> u64 {
        self.0
    }
}

impl Add for Dollars {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Dollars {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Dollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match f.precision() {
            Some(digits) => rounded(self.0, digits.min(DIGITS)),
            None => digits(self.0, DOLLAR, DIGITS),
        };
        f.write_str(&format!("${text}"))
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digits(self.0, DOLLAR, DIGITS))
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let wrong = || format!("an amount must be dollars as decimal text, such as \"0.0015\", not `{text}`");
        parsed(&text, DOLLAR, DIGITS).map(Self).ok_or_else(|| serde::de::Error::custom(wrong()))
    }
}

/// A number of `unit`ths as decimal text, with two digits after the point or as many as are needed.
fn digits(amount: u64, unit: u64, width: usize) -> String {
    let fraction = format!("{:0width$}", amount % unit);
    let needed = fraction.trim_end_matches('0').len().max(2);
    format!("{}.{}", amount / unit, &fraction[..needed])
}

fn rounded(amount: u64, digits: usize) -> String {
    let step = (digits..DIGITS).fold(1, |step, _| step * 10);
    let rounded = amount / step + u64::from(amount % step >= step.div_ceil(2) && step > 1);
    let unit = DOLLAR / step;
    match digits {
        0 => rounded.to_string(),
        _ => format!("{}.{:0digits$}", rounded / unit, rounded % unit),
    }
}

const MICRO: usize = 6;
const MILLION: u64 = 1_000_000;

/// Parses decimal text such as `2.50` as `unit`ths; `None` for anything else, including more than
/// `width` digits after the point.
fn parsed(text: &str, unit: u64, width: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > width {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<width$}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(fraction)
}

mod decimal {
    use super::{Deserialize, Deserializer, MICRO, MILLION, Serializer, digits, parsed};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(amount: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digits(*amount, MILLION, MICRO))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let wrong =
            || format!("a price must be dollars per million tokens as decimal text, such as \"2.50\", not `{text}`");
        parsed(&text, MILLION, MICRO).ok_or_else(|| serde::de::Error::custom(wrong()))
    }
}

mod optional_decimal {
    use super::{Deserialize, Deserializer, Serializer, decimal};

    #[allow(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(amount: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => decimal::serialize(amount, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        #[derive(Deserialize)]
        struct Decimal(#[serde(with = "decimal")] u64);
        Ok(Option::<Decimal>::deserialize(deserializer)?.map(|Decimal(amount)| amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_to_the_last_digit() {
        let price: Price = serde_json::from_str(r#"{"input":"0.15","cached":"0.075","output":"0.6"}"#).unwrap();
        assert_eq!(price.of(1, 0, 0).to_string(), "$0.00000015");
        assert_eq!(price.of(1_000_000, 400_000, 100_000), Dollars(90_000_000_000 + 30_000_000_000 + 60_000_000_000));
        assert_eq!([price.of(1, 1, 0); 3].into_iter().sum::<Dollars>().picodollars(), 225_000);
        assert_eq!(price.of(u64::MAX, 0, 1).picodollars(), u64::MAX);
    }

    #[test]
    fn cached_tokens_without_a_price_cost_as_the_others() {
        let price: Price = serde_json::from_str(r#"{"input":"30","output":"60"}"#).unwrap();
        assert_eq!(price.of(1_000, 900, 0), price.of(1_000, 0, 0));
        assert_eq!(price.of(10, 20, 0), price.of(10, 10, 0));
    }

    #[test]
    fn money_is_printed_in_full_or_rounded() {
        let amount = |picodollars| Dollars(picodollars);
        assert_eq!(amount(12_500_000_000_000).to_string(), "$12.50");
        assert_eq!(amount(0).to_string(), "$0.00");
        assert_eq!(format!("{:.2}", amount(5_000_000_000)), "$0.01");
        assert_eq!(format!("{:.2}", amount(4_999_999_999)), "$0.00");
        assert_eq!(format!("{:.0}", amount(1_500_000_000_000)), "$2");
        assert_eq!(format!("{:.12}", amount(7)), "$0.000000000007");
        assert_eq!(serde_json::to_string(&amount(1_500_000_000)).unwrap(), r#""0.0015""#);
        for picodollars in [0, 7, DOLLAR, u64::MAX] {
            let json = serde_json::to_string(&amount(picodollars)).unwrap();
            assert_eq!(serde_json::from_str::<Dollars>(&json).unwrap(), amount(picodollars));
        }
        assert!(serde_json::from_str::<Dollars>(r#""18446744.073709551616""#).is_err());
    }

    #[test]
    fn a_price_is_decimal_text_and_nothing_else() {
        let json = r#"{"input":"2.50","cached":"0.007","output":"10.00"}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Price>(json).unwrap()).unwrap(), json);
        for wrong in ["", ".5", "5.", "-1", "1e3", "0.0000001", "99999999999999999999", "1,5"] {
            let json = serde_json::json!({ "input": wrong, "output": "1" });
            assert!(serde_json::from_value::<Price>(json).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Price>(r#"{"input":2.5,"output":"1"}"#).is_err());
    }
}
