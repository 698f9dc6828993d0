"""What is lost: how complete the fields of alerts are, by domain, rule, field and host."""

from drawing import FLEET, GREEN, RED, YELLOW, Column, Panel, Query, board, graph, number, rows

PICK = f'{FLEET}, domain=~"$domain"'
MISSING = f'falco_enrichment_alert_fields_total{{{PICK}, outcome="missing"}}'
JUDGED = f'falco_enrichment_alert_fields_total{{{PICK}, outcome=~"present|missing"}}'
BUDGET = f"(1 - max by (domain) (falco_enrichment_objective_ratio{{{PICK}}}))"


def missing(window: str) -> str:
    """Return the share of missing fields by domain; 0 where nothing is missing, absent where nothing is judged."""
    judged = f"sum by (domain) (increase({JUDGED}[{window}]))"
    return f"((sum by (domain) (increase({MISSING}[{window}])) or 0 * {judged}) / {judged})"


def json() -> str:
    """Return the board."""
    share = ((None, GREEN), (0.01, YELLOW), (0.05, RED))
    panels: list[Panel] = [
        number(1, "Complete, 24 hours", "The share of fields that were there, of those that must be. Below the objective for long: the budget burns.",
               [Query(f"1 - {missing('24h')}", "{{domain}}")], place=(0, 0, 24, 4), unit="percentunit", steps=((None, RED), (0.95, YELLOW), (0.99, GREEN)), decimals=2, no_value="No alerts"),
        number(2, "Fields judged, 24 hours", "How many fields the shares above stand on. Few: do not believe them too much.",
               [Query(f"sum by (domain) (increase({JUDGED}[24h]))", "{{domain}}")], place=(0, 4, 24, 4), unit="short", no_value="No alerts"),
        graph(10, "Missing fields", "Of the fields that must be there, the share that was missing over an hour. A step that stays is a lost cache, not noise.",
              [Query(missing("1h"), "{{domain}}")], place=(0, 8, 12, 8), unit="percentunit", signal="alert_missing_ratio", is_stepped=False, no_value="No alerts in this time"),
        graph(20, "Burn rate of the budget", "1: the 30-day budget is used up just in time. 14.4 over an hour pages (FalcoFieldCompletenessBudgetBurn).",
              [Query(f"{missing(window)} / {BUDGET}", f"{{{{domain}}}} {window}") for window in ("1h", "6h", "1d", "3d")], place=(12, 8, 12, 8), unit="short", is_stepped=False, no_value="No alerts in this time"),
        graph(30, "Alerts' fields by outcome", "Fields by hour that were there, missing, or rightly missing (excused). No volume, no verdict.",
              [Query(f"sum by (outcome) (increase(falco_enrichment_alert_fields_total{{{PICK}}}[1h]))", "{{outcome}}")], place=(0, 16, 12, 8), unit="short", is_stepped=False, is_stacked=True, no_value="No alerts in this time"),
        number(40, "Budget left, 30 days", "What is left of the share of fields that may be missing in 30 days. Below 0 the objective is missed.",
               [Query(f"1 - {missing('30d')} / {BUDGET}", "{{domain}}")], place=(12, 16, 12, 8), unit="percentunit", steps=((None, RED), (0.0, YELLOW), (0.25, GREEN)), no_value="No alerts"),
        rows(50, "Rules that lose most, 24 hours", "Rules by alerts with a missing field of the domain. Are they what you rely on?", "rule",
             [Column(f"topk(20, sum by (rule, domain) (increase(falco_enrichment_rule_missing_alerts_total{{{PICK}}}[24h])) > 0)", "Alerts with missing fields", decimals=0)],
             place=(0, 24, 12, 9), labels={"domain": "Domain"}, no_value="Nothing is missing"),
        rows(60, "Fields that are missing most, 24 hours", "Fields by share missing: everything but the id points to the runtime's socket, names alone to the containerd engine.", "field",
             [
                 Column(f"topk(20, sum by (field, domain) (increase({MISSING}[24h])) / sum by (field, domain) (increase({JUDGED}[24h])) > 0)", "Missing", "percentunit", share),
                 Column(f"topk(200, sum by (field, domain) (increase({JUDGED}[24h]))) and on (field, domain) sum by (field, domain) (increase({MISSING}[24h])) > 0", "Judged", decimals=0),
             ], place=(12, 24, 12, 9), labels={"domain": "Domain"}, no_value="Nothing is missing"),
        rows(65, "Hosts that lose most, 24 hours", "Hosts by missing fields of a domain. One host: its runtime or mounts. All: a rollout.", "hostname",
             [Column(f"topk(20, sum by (hostname, domain) (increase({MISSING}[24h])) > 0)", "Missing fields", decimals=0)],
             place=(0, 33, 12, 9), labels={"domain": "Domain"}, no_value="Nothing is missing",
             link="/d/falco-enrich-host?var-hostname=${__value.text}&${datasource:queryparam}&${__url_time_range}"),
        graph(70, "Kinds of missing", "What stood in place of the value: null, empty, <NA>, a number that means unknown, the container's id for its name.",
              [Query(f"sum by (kind) (increase(falco_enrichment_alert_fields_missing_total{{{PICK}}}[1h]))", "{{kind}}")], place=(12, 33, 12, 9), unit="short", is_stepped=False, is_stacked=True, no_value="Nothing is missing"),
        graph(80, "Rightly missing", "Fields that need not be there, by reason. A jump is another kind of workload, or a rule that outputs what cannot be.",
              [Query(f"sum by (reason) (increase(falco_enrichment_alert_fields_excused_total{{{PICK}}}[1h]))", "{{reason}}")], place=(0, 42, 12, 8), unit="short", is_stepped=False, is_stacked=True, no_value="Nothing is excused"),
        graph(81, "Alerts without fields", "Alerts that cannot be judged: json_include_output_fields_property is false. Normal is 0.",
              [Query(f"sum(increase(falco_enrichment_alerts_without_fields_total{{{FLEET}}}[1h]))", "alerts")], place=(12, 42, 12, 8), unit="short", is_stepped=False, no_value="None"),
    ]  # fmt: skip
    return board(
        "falco-enrich-fields",
        "Falco enrichment: field completeness",
        "What alerts lack.",
        time="now-24h",
        panels=panels,
        variables=("cluster", "domain"),
    )
