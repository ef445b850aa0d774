//! A contract to state by, and times in words.

use std::path::Path;

use jiff::Timestamp;
use mailsonar_collector::statement::ContractFile;

/// A contract of 1,200.00 euros a month; the rest as a test has it.
pub(crate) fn contract(zone: &str, rest: &str) -> ContractFile {
    let text = format!(
        "name = \"gold\"\ntitle = \"Gold\"\nprovider = \"Acme\"\ncustomer = \"Example\"\nservices = [\"acme\"]\n\
         time_zone = \"{zone}\"\n[price]\nfee = 120000\ncurrency = \"EUR\"\n[claims]\nwithin_days = 14\n\
         [availability]\ntarget = \"99.9\"\n\
         tiers = [{{ below = \"99.9\", credit = \"10\" }}, {{ below = \"99\", credit = \"30\" }}]\n{rest}"
    );
    ContractFile::from_text(Path::new("gold.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}
