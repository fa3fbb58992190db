// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filters: which messages a queue takes.

use std::{fmt, str::FromStr};

use crate::{event::parse_number, message::INFO_ID, BadMessageType, Message, MessageType};

/// How many rules a filter can have.
///
/// ```
/// use watch_queue::{Filter, MessageType, Rule, MAX_RULES};
///
/// assert!(Filter::new([Rule::new(MessageType::KEY); MAX_RULES]).is_ok());
/// ```
pub const MAX_RULES: usize = 16;

/// Size of a `struct watch_notification_type_filter` in words.
pub(crate) const RULE_WORDS: usize = 11;

const INFO_LENGTH: u32 = 0x0000_007f;

/// One rule of a filter: a `struct watch_notification_type_filter`.
///
/// It accepts a message if the type is equal, the subtype is one of those named, and the bits of
/// `info` are as asked for.
///
/// As text it is `TYPE[:SUBTYPES] [info=FILTER/MASK]`, where a type is a name or `type=NUMBER`, and
/// subtypes are names, numbers and ranges of numbers with commas between them:
///
/// ```
/// use watch_queue::{Rule, MessageType};
///
/// let rule: Rule = "key:linked,unlinked".parse()?;
/// assert_eq!(rule, Rule::new(MessageType::KEY).subtypes([2, 3]));
/// assert_eq!("key:2-3".parse::<Rule>()?, rule);
/// assert_eq!(rule.to_string(), "key:linked,unlinked");
///
/// assert!("type=77:0-7,40 info=0x10000/0x30000".parse::<Rule>().is_ok());
/// assert!("key:linkd".parse::<Rule>().is_err());
/// # Ok::<(), watch_queue::BadRule>(())
/// ```
///
/// Mainline kernels know only the first 32 subtypes, and skip rules for types other than
/// [`META`](MessageType::META) and [`KEY`](MessageType::KEY).
///
/// # Invariants
///
/// `info_filter` has no bit outside of `info_mask`, which has none of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    kind: MessageType,
    info_filter: u32,
    info_mask: u32,
    /// Bit N % 32 of word N / 32.
    subtypes: [u32; 8],
}

impl Rule {
    /// Accepts all messages of a type.
    ///
    /// ```
    /// use watch_queue::{MessageType, Rule};
    ///
    /// assert_eq!(Rule::new(MessageType::KEY), "key".parse()?);
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn new(kind: MessageType) -> Self {
        // INVARIANT: There are no bits.
        Self {
            kind,
            info_filter: 0,
            info_mask: 0,
            subtypes: [u32::MAX; 8],
        }
    }

    /// Accepts these subtypes only.
    ///
    /// ```
    /// use watch_queue::{MessageType, Rule};
    ///
    /// assert_eq!(Rule::new(MessageType::META).subtypes([1]), "meta:loss".parse()?);
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    #[must_use]
    pub fn subtypes(mut self, subtypes: impl IntoIterator<Item = u8>) -> Self {
        self.subtypes = [0; 8];
        for subtype in subtypes {
            self.subtypes[usize::from(subtype / 32)] |= 1 << (subtype % 32);
        }
        self
    }

    /// Accepts messages only that have the bits under `mask` in their `info` as they are in
    /// `filter`.
    ///
    /// # Errors
    ///
    /// [`BadRule`] for what the kernel refuses: a filter with bits outside of the mask, or a mask
    /// with bits of the size.
    ///
    /// ```
    /// use watch_queue::{MessageType, Rule};
    ///
    /// let rule = Rule::new(MessageType::DEVICE);
    /// assert!(rule.info(0x10000, 0x10000).is_ok());
    /// assert!(rule.info(0x10000, 0).is_err());
    /// ```
    pub fn info(mut self, filter: u32, mask: u32) -> Result<Self, BadRule> {
        if filter & !mask != 0 {
            return Err(BadRule(format!(
                "{filter:#x} has bits outside of the mask {mask:#x}"
            )));
        }
        if mask & INFO_LENGTH != 0 {
            return Err(BadRule(format!(
                "the mask {mask:#x} has bits of the size, {INFO_LENGTH:#x}"
            )));
        }
        // INVARIANT: Just checked.
        (self.info_filter, self.info_mask) = (filter, mask);
        Ok(self)
    }

    /// Accepts messages only from the watch with this tag.
    ///
    /// ```
    /// use watch_queue::{MessageType, Rule};
    ///
    /// assert_eq!(Rule::new(MessageType::KEY).tag(7).info_bits(), (0x700, 0xff00));
    /// ```
    #[must_use]
    pub fn tag(mut self, tag: u8) -> Self {
        // INVARIANT: These bits are none of the size, and the shifted tag is all among them.
        self.info_filter = self.info_filter & !INFO_ID | u32::from(tag) << 8;
        self.info_mask |= INFO_ID;
        self
    }

    /// The type that it accepts.
    ///
    /// ```
    /// use watch_queue::{MessageType, Rule};
    ///
    /// assert_eq!("key:linked".parse::<Rule>()?.kind(), MessageType::KEY);
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// Whether it accepts this subtype.
    ///
    /// ```
    /// let rule: watch_queue::Rule = "key:linked".parse()?;
    /// assert!(rule.accepts_subtype(2) && !rule.accepts_subtype(3));
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn accepts_subtype(&self, subtype: u8) -> bool {
        self.subtypes[usize::from(subtype / 32)] >> (subtype % 32) & 1 != 0
    }

    /// Returns whether it accepts this message, as the kernel decides it.
    ///
    /// ```
    /// use watch_queue::{Message, MessageType, Rule};
    ///
    /// fn is_wanted(message: Message<'_>) -> bool {
    ///     Rule::new(MessageType::KEY).subtypes([2, 3]).accepts(message)
    /// }
    /// ```
    pub fn accepts(&self, message: Message<'_>) -> bool {
        message.kind() == self.kind
            && self.accepts_subtype(message.subtype())
            && message.info() & self.info_mask == self.info_filter
    }

    /// What the bits of `info` have to be, and which of them matter.
    ///
    /// ```
    /// let rule: watch_queue::Rule = "device info=0x10000/0x30000".parse()?;
    /// assert_eq!(rule.info_bits(), (0x10000, 0x30000));
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn info_bits(&self) -> (u32, u32) {
        (self.info_filter, self.info_mask)
    }

    /// A `struct watch_notification_type_filter`.
    fn words(&self) -> [u32; RULE_WORDS] {
        let mut words = [0; RULE_WORDS];
        words[..3].copy_from_slice(&[self.kind.number(), self.info_filter, self.info_mask]);
        words[3..].copy_from_slice(&self.subtypes);
        words
    }

    /// Reads a rule as `/proc/PID/fdinfo/N` shows it.
    pub(crate) fn from_fdinfo(text: &str) -> Option<Self> {
        let mut fields = text
            .split_whitespace()
            .filter_map(|field| field.split_once('='));
        let mut field = |wanted| Some(fields.find(|(name, _)| *name == wanted)?.1);
        let kind = parse_number(field("type")?)?;
        let subtypes = parse_subtypes(field("subtypes")?, &[]).ok()?;
        let (filter, mask) = parse_info(field("info")?).ok()?;
        let rule = Self::new(MessageType::new(kind)).subtypes(subtypes);
        rule.info(filter, mask).ok()
    }
}

fn parse_info(text: &str) -> Result<(u32, u32), BadRule> {
    let numbers = text.split_once('/');
    numbers
        .and_then(|(filter, mask)| Some((parse_number(filter)?, parse_number(mask)?)))
        .ok_or_else(|| {
            BadRule(format!(
                "'{text}' is not FILTER/MASK, two numbers of 32 bits"
            ))
        })
}

/// Reads numbers, ranges and names; subtype N is called `names[N]`.
fn parse_subtypes(text: &str, names: &[&str]) -> Result<Vec<u8>, BadRule> {
    if text.is_empty() || text == "none" {
        return Ok(Vec::new());
    }
    let number = |text| parse_number(text).and_then(|number| u8::try_from(number).ok());
    let mut subtypes = Vec::new();
    for item in text.split(',') {
        if let Some(subtype) = names.iter().position(|name| *name == item) {
            subtypes.push(subtype as u8);
            continue;
        }
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => subtypes.extend(first..=last),
            _ => {
                return Err(BadRule(format!(
                    "no subtype '{item}'; there are {}{}0 to 255",
                    names.join(", "),
                    if names.is_empty() { "" } else { ", and " },
                )))
            }
        }
    }
    Ok(subtypes)
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let mut words = text.split_whitespace();
        let first = words
            .next()
            .ok_or_else(|| BadRule("there is nothing in it".to_owned()))?;
        let (kind, subtypes) = match first.split_once(':') {
            Some((_, "")) => return Err(BadRule(format!("'{first}' names no subtype"))),
            Some((kind, subtypes)) => (kind, Some(subtypes)),
            None => (first, None),
        };
        let mut rule = Self::new(kind.parse::<MessageType>()?);
        if let Some(subtypes) = subtypes {
            rule = rule.subtypes(parse_subtypes(subtypes, rule.kind.subtypes())?);
        }
        for word in words {
            let info = word
                .strip_prefix("info=")
                .ok_or_else(|| BadRule(format!("'{word}' is not info=FILTER/MASK")))?;
            let (filter, mask) = parse_info(info)?;
            rule = rule.info(filter, mask)?;
        }
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        let names = self.kind.subtypes();
        let mut items = Vec::new();
        let mut subtype = 0;
        while subtype < 256 {
            let rest = subtype..256;
            let accepted = rest.take_while(|&n| self.accepts_subtype(n as u8)).count();
            if accepted == 256 {
                break;
            }
            let (first, after) = (subtype, subtype + accepted);
            items.extend((first..after.min(names.len())).map(|n| names[n].to_owned()));
            match first.max(names.len())..after {
                range if range.is_empty() => {}
                range if range.len() == 1 => items.push(range.start.to_string()),
                range => items.push(format!("{}-{}", range.start, range.end - 1)),
            }
            subtype = after + 1;
        }
        match (items.is_empty(), self.subtypes[0]) {
            (false, _) => write!(f, ":{}", items.join(","))?,
            (true, 0) => write!(f, ":none")?,
            (true, _) => {}
        }
        if self.info_mask != 0 {
            write!(f, " info={:#x}/{:#x}", self.info_filter, self.info_mask)?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was asked for is not a rule, or not one that the kernel takes.
///
/// ```
/// let error = "key:linkd".parse::<watch_queue::Rule>().unwrap_err();
/// assert!(error.to_string().starts_with("no subtype 'linkd'"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRule(String);

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRule {}

impl From<BadMessageType> for BadRule {
    fn from(error: BadMessageType) -> Self {
        Self(error.to_string())
    }
}

/// A filter: 1 to [`MAX_RULES`] rules, of which one has to accept a message.
///
/// Losses and removals come past any filter.
///
/// ```
/// use watch_queue::{Filter, Rule, MessageType};
///
/// let filter = Filter::new([
///     Rule::new(MessageType::META),
///     "key:linked,unlinked".parse()?,
/// ])?;
/// assert_eq!(filter.rules().len(), 2);
/// # Ok::<(), watch_queue::BadRule>(())
/// ```
///
/// # Invariants
///
/// There are 1 to [`MAX_RULES`] rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<Rule>);

impl Filter {
    /// Makes a filter of these rules.
    ///
    /// # Errors
    ///
    /// [`BadRule`] if there are none, or more than [`MAX_RULES`].
    ///
    /// ```
    /// use watch_queue::Filter;
    ///
    /// assert!(Filter::new(["key".parse()?]).is_ok());
    /// assert!(Filter::new([]).is_err());
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, BadRule> {
        let rules: Vec<_> = rules.into_iter().take(MAX_RULES + 1).collect();
        if rules.is_empty() {
            return Err(BadRule("a filter needs a rule".to_owned()));
        }
        if rules.len() > MAX_RULES {
            return Err(BadRule(format!("a filter has room for {MAX_RULES} rules")));
        }
        // INVARIANT: Just checked.
        Ok(Self(rules))
    }

    /// The rules.
    ///
    /// ```
    /// let filter = watch_queue::Filter::new(["key".parse()?])?;
    /// assert_eq!(filter.rules()[0].to_string(), "key");
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// A `struct watch_notification_filter`, as words in the byte order of this machine.
    ///
    /// ```
    /// let words = watch_queue::Filter::new(["key".parse()?])?.to_words();
    /// assert_eq!(words[..3], [1, 0, 1]);
    /// # Ok::<(), watch_queue::BadRule>(())
    /// ```
    pub fn to_words(&self) -> Vec<u32> {
        let mut words = vec![self.0.len() as u32, 0];
        words.extend(self.0.iter().flat_map(Rule::words));
        words
    }
}
