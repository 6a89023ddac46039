//! What is in an expression: the series that it selects, and what it does with them.

use std::time::Duration;

use promql_parser::label::MatchOp;
use promql_parser::parser::token::{T_LAND, T_LUNLESS};
use promql_parser::parser::{self, Expr, VectorSelector};

/// What Grafana makes of `$__rate_interval` here; no expression has this window by itself.
pub(crate) const RATE_INTERVAL: Duration = Duration::from_secs(8_869);

/// Series that are selected somewhere in an expression.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Label, operator and value of each.
    pub(crate) matchers: Vec<(String, &'static str, String)>,
    /// Of a range: its length.
    pub(crate) range: Option<Duration>,
    /// The function that takes them directly, if any.
    pub(crate) function: Option<&'static str>,
    /// The aggregation that takes them directly, if any.
    pub(crate) aggregation: Option<String>,
}

/// An expression with Grafana's own variables replaced, so that it is PromQL. Those of the dashboard are strings in it.
pub(crate) fn without_variables(expression: &str) -> String {
    let rate_interval = format!("{}s", RATE_INTERVAL.as_secs());
    expression.replace("$__rate_interval", &rate_interval).replace("$__range", "3h")
}

/// The selectors of an expression, or why it is none.
pub(crate) fn selectors(expression: &str) -> Result<Vec<Selector>, String> {
    let tree = parser::parse(&without_variables(expression))?;
    let mut found = Vec::new();
    collect(&tree, None, None, &mut found);
    Ok(found)
}

fn collect(tree: &Expr, function: Option<&'static str>, aggregation: Option<String>, found: &mut Vec<Selector>) {
    let mut below = |tree: &Expr| collect(tree, None, None, found);
    match tree {
        Expr::Aggregate(it) => collect(&it.expr, None, Some(it.op.to_string()), found),
        // What only leaves some of them out is no step of its own.
        Expr::Binary(it) if matches!(*it.rhs, Expr::NumberLiteral(_)) && it.op.is_comparison_operator() => {
            collect(&it.lhs, function, aggregation, found);
        }
        Expr::Binary(it) if [T_LAND, T_LUNLESS].contains(&it.op.id()) => {
            below(&it.rhs);
            collect(&it.lhs, function, aggregation, found);
        }
        Expr::Binary(it) => {
            below(&it.lhs);
            below(&it.rhs);
        }
        Expr::Unary(it) => below(&it.expr),
        Expr::Paren(it) => collect(&it.expr, function, aggregation, found),
        Expr::Subquery(it) => below(&it.expr),
        Expr::Call(it) => it.args.args.iter().for_each(|argument| collect(argument, Some(it.func.name), None, found)),
        Expr::VectorSelector(it) => found.push(selector(it, None, function, aggregation)),
        Expr::MatrixSelector(it) => found.push(selector(&it.vs, Some(it.range), function, aggregation)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn selector(
    it: &VectorSelector,
    range: Option<Duration>,
    function: Option<&'static str>,
    aggregation: Option<String>,
) -> Selector {
    let operator = |operator: &MatchOp| match operator {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Re(_) => "=~",
        MatchOp::NotRe(_) => "!~",
    };
    let matchers = it.matchers.matchers.iter();
    let matchers = matchers.map(|it| (it.name.clone(), operator(&it.op), it.value.clone())).collect();
    Selector { metric: it.name.clone().unwrap_or_default(), matchers, range, function, aggregation }
}

impl Selector {
    /// Whether it is narrowed to what was chosen in the dashboard's variable of this name.
    pub(crate) fn follows(&self, variable: &str) -> bool {
        self.matchers.contains(&(variable.to_owned(), "=~", format!("${variable}")))
    }

    /// As an expression of its own.
    pub(crate) fn expression(&self) -> String {
        let matchers: Vec<String> =
            self.matchers.iter().map(|(name, op, value)| format!("{name}{op}{value:?}")).collect();
        format!("{}{{{}}}", self.metric, matchers.join(", "))
    }

    /// The family of the metric: without what histograms and counters add to its name.
    pub(crate) fn family(&self) -> &str {
        let metric = self.metric.as_str();
        ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric)
    }
}

#[test]
fn selectors_are_found_with_what_is_done_with_them() {
    let expression = "max(a{b=~\"$b\"} > 0) / (sum by (c) (rate(d_bucket[$__rate_interval])) > 0)";
    let found = selectors(expression).expect("PromQL");
    assert_eq!(found[0].expression(), "a{b=~\"$b\"}");
    assert!(found[0].follows("b") && !found[0].follows("c"));
    assert_eq!((found[0].aggregation.as_deref(), found[0].function, found[0].range), (Some("max"), None, None));
    assert_eq!((found[1].function, found[1].range), (Some("rate"), Some(RATE_INTERVAL)));
    assert_eq!((found[1].family(), found[1].aggregation.as_deref()), ("d", None));
    assert!(selectors("sum(a").is_err());
    let found = selectors("max(a and on (c) b < 60)").expect("PromQL");
    let taken: Vec<_> = found.iter().map(|it| (it.metric.as_str(), it.aggregation.as_deref())).collect();
    assert_eq!(taken, [("b", None), ("a", Some("max"))]);
}
