"""How panels are drawn: one place for colours, legends, limits, and what is said where there is no data.

Numbers that come from snapshots are drawn as what they are, a staircase with a point for each snapshot and no line over a
gap. Green is only for what is known to be good; no data is grey.
"""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as commons
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries_models

TAG: Final = "falco-enrichment"
SCHEMA_VERSION: Final = 39
GREEN, YELLOW, RED, BLUE, GREY = "green", "orange", "red", "blue", "text"
SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
LIMIT_STYLES: Final = {"warning limit": YELLOW, "critical limit": RED}

HOST: Final = 'cluster=~"$cluster", hostname=~"$hostname"'
KEY: Final = HOST + ', source="$source"'
FLEET: Final = 'cluster=~"$cluster"'
SYSCALL: Final = FLEET + ', source="syscall"'

Place = tuple[int, int, int, int]
"""x, y, width, height on Grafana's grid of 24."""

Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour."""


@dataclass(frozen=True)
class Query:
    """An expression and what its legend says; ``instant``: now, not over time."""

    expr: str
    legend: str = "__auto"
    instant: bool = False


def limits(signal: str) -> list[Query]:
    """Return the configured limits of a signal, to be drawn as lines."""
    return [
        Query(
            f'max(falco_enrichment_threshold{{{FLEET}, signal="{signal}", severity="{severity}"}})', f"{severity} limit"
        )
        for severity in ("warning", "critical")
    ]


def _targets(queries: list[Query], *, is_table: bool = False) -> list[prometheus.Dataquery]:
    made = []
    for ref, query in zip("ABCDEFGHIJKL", queries, strict=False):
        target = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend)
        target = target.instant() if query.instant or is_table else target.range()
        made.append(target.format(queries_models.PromQueryFormat.TABLE) if is_table else target)
    return made


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    rows = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(rows)


def _grid(place: Place) -> models.GridPos:
    x, y, width, height = place
    return models.GridPos(h=height, w=width, x=x, y=y)


def graph(
    id_: int, title: str, description: str, queries: list[Query], *, place: Place, unit: str,
    signal: str = "", is_stepped: bool = True, is_stacked: bool = False,
    no_value: str = "No snapshot in this time", is_percent: bool = False,
) -> timeseries.Panel:  # fmt: skip
    """Draw values over time; those of ``signal`` with its limits."""
    panel = (
        timeseries.Panel().id(id_).title(title).description(description).datasource(SOURCE).grid_pos(_grid(place))
        .unit(unit).min(0).no_value(no_value)
        .draw_style(commons.GraphDrawStyle.LINE).line_width(2).fill_opacity(30 if is_stacked else 0).span_nulls(False)
        .line_interpolation(commons.LineInterpolation.STEP_AFTER if is_stepped else commons.LineInterpolation.LINEAR)
        .show_points(commons.VisibilityMode.ALWAYS if is_stepped else commons.VisibilityMode.NEVER).point_size(4)
        .legend(
            common.VizLegendOptions().show_legend(True).display_mode(commons.LegendDisplayMode.LIST)
            .placement(commons.LegendPlacement.BOTTOM).calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(commons.TooltipDisplayMode.MULTI).sort(commons.SortOrder.DESCENDING))
    )  # fmt: skip
    if unit == "percentunit":
        panel = panel.decimals(1)
    if is_stacked:
        mode = commons.StackingMode.PERCENT if is_percent else commons.StackingMode.NORMAL
        panel = panel.stacking(common.StackingConfig().mode(mode).group("A"))
    for target in _targets([*queries, *(limits(signal) if signal else [])]):
        panel = panel.with_target(target)
    for name, color in LIMIT_STYLES.items() if signal else ():
        panel = panel.override_by_name(name, [
            models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color}),
            models.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
            models.DynamicConfigValue(id_val="custom.lineWidth", value=1),
            models.DynamicConfigValue(id_val="custom.showPoints", value="never"),
            models.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        ])  # fmt: skip
    return panel


def number(
    id_: int, title: str, description: str, queries: list[Query], *, place: Place, unit: str,
    steps: Steps = ((None, BLUE),), no_value: str = "No data", decimals: int = 0, link: str = "",
    is_name: bool = False,
) -> stat.Panel:  # fmt: skip
    """Draw one value of now, or one for each series; grey while there is none. ``is_name``: the legend is the value."""
    panel = (
        stat.Panel().id(id_).title(title).description(description).datasource(SOURCE).grid_pos(_grid(place))
        .unit(unit).decimals(decimals).no_value(no_value).thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(commons.BigValueColorMode.VALUE).graph_mode(commons.BigValueGraphMode.NONE)
        .orientation(commons.VizOrientation.AUTO)
        .text_mode(commons.BigValueTextMode.NAME if is_name else commons.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .mappings([
            models.SpecialValueMap(options=models.DashboardSpecialValueMapOptions(
                match=models.SpecialValueMatch.NULL, result=models.ValueMappingResult(text=no_value, color=GREY)))
        ])
    )  # fmt: skip
    if link:
        panel = panel.links([dashboard.DashboardLink("Open").url(link).include_vars(True).keep_time(True)])
    for target in _targets([Query(query.expr, query.legend, instant=True) for query in queries]):
        panel = panel.with_target(target)
    return panel


@dataclass(frozen=True)
class Column:
    """A column of a table: the expression of its values, its title, unit, colours."""

    expr: str
    title: str
    unit: str = "short"
    steps: Steps = ()
    decimals: int = 2


def rows(
    id_: int, title: str, description: str, by: str, columns: list[Column], *, place: Place,
    link: str = "", no_value: str = "Nothing to show", labels: dict[str, str] | None = None,
) -> table.Panel:  # fmt: skip
    """Draw a table with a line for each value of the label ``by``, the worst of the first column on top."""
    shown = {by: by.capitalize(), **(labels or {})}
    letters = "ABCDEFGHIJKL"[: len(columns)]
    titles = [f"Value #{letter}" if len(columns) > 1 else "Value" for letter in letters]
    panel = (
        table.Panel().id(id_).title(title).description(description).datasource(SOURCE).grid_pos(_grid(place))
        .no_value(no_value).cell_height(commons.TableCellHeight.SM)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options={
            "excludeByName": {"Time": True},
            "renameByName": dict(zip(titles, [column.title for column in columns], strict=True)) | shown,
        }))
        .sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])
    )  # fmt: skip
    for target in _targets([Query(column.expr) for column in columns], is_table=True):
        panel = panel.with_target(target)
    for column in columns:
        properties = [
            models.DynamicConfigValue(id_val="unit", value=column.unit),
            models.DynamicConfigValue(id_val="decimals", value=column.decimals),
        ]
        if column.steps:
            steps = [{"color": color, "value": value} for value, color in column.steps]
            properties += [
                models.DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps}),
                models.DynamicConfigValue(id_val="color", value={"mode": "thresholds"}),
                models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ]
        panel = panel.override_by_name(column.title, properties)
    if link:
        links = [{"title": "Open", "url": link}]
        panel = panel.override_by_name(shown[by], [models.DynamicConfigValue(id_val="links", value=links)])
    return panel


Panel = timeseries.Panel | stat.Panel | table.Panel


def board(
    uid: str, title: str, description: str, *, time: str, panels: list[Panel], variables: tuple[str, ...]
) -> str:  # fmt: skip
    """Put panels on a board; return its JSON."""
    made = (
        dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).time(time, "now").refresh("1m")
        .timezone("browser").readonly().tooltip(models.DashboardCursorSync.CROSSHAIR).version(1)
        .link(dashboard.DashboardLink("Falco enrichment").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
              .as_dropdown(True).keep_time(True).include_vars(True))
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Data source"))
    )  # fmt: skip
    for name in variables:
        made = made.with_variable(_variable(name))
    for panel in panels:
        made = made.with_panel(panel)
    built = made.build()
    built.schema_version = SCHEMA_VERSION
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"


def _variable(name: str) -> dashboard.QueryVariable:
    series, label = {
        "cluster": ("falco_enrichment_exporter_build_info", "Cluster"),
        "hostname": ('falco_enrichment_snapshot_timestamp_seconds{cluster=~"$cluster"}', "Host"),
        "source": ('falco_enrichment_snapshot_timestamp_seconds{cluster=~"$cluster"}', "Source"),
        "domain": ("falco_enrichment_objective_ratio", "Domain"),
        "instance": ('falco_enrichment_exporter_build_info{cluster=~"$cluster"}', "Exporter"),
    }[name]
    variable = (
        dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values({series}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    )  # fmt: skip
    if name == "hostname":
        return variable  # one at a time: its board is about one host
    if name == "source":
        return variable.current(models.VariableOption(text="syscall", value="syscall"))
    # ".*" also matches where there is no such label
    every = models.VariableOption(text="All", value="$__all")
    return variable.include_all(True).all_value(".*").multi(True).current(every)
