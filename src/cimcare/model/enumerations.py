"""Enumerations of the six nouns, with every literal.

Members are spelt as their literals, so `WorkKind.connect` is the literal `connect`. Literals that IEC 61968-6 leaves
out of its schemas stand in `NOT_IN_PART_6`.

Source: CIM enumerations (IEC 61968-11, IEC 61970-301), union of the levels dcim12, cim17 and cim100.
"""

from enum import StrEnum

__all__ = [
    "NOT_IN_PART_6",
    "CustomerKind",
    "MeterMultiplierKind",
    "NotificationTriggerKind",
    "PhaseCode",
    "ReadingReasonKind",
    "RevenueKind",
    "ServiceKind",
    "ServiceMultiplierKind",
    "SupplierKind",
    "TroubleReportingKind",
    "UsagePointConnectedKind",
    "WorkKind",
    "WorkStatusKind",
    "WorkTaskKind",
    "WorkTimeScheduleKind",
]


class CustomerKind(StrEnum):
    """Sort of customer."""

    commercialIndustrial = "commercialIndustrial"
    energyServiceScheduler = "energyServiceScheduler"
    energyServiceSupplier = "energyServiceSupplier"
    enterprise = "enterprise"
    internalUse = "internalUse"
    other = "other"
    pumpingLoad = "pumpingLoad"
    regionalOperator = "regionalOperator"
    residential = "residential"
    residentialAndCommercial = "residentialAndCommercial"
    residentialAndStreetlight = "residentialAndStreetlight"
    residentialFarmService = "residentialFarmService"
    residentialStreetlightOthers = "residentialStreetlightOthers"
    subsidiary = "subsidiary"
    windMachine = "windMachine"


class MeterMultiplierKind(StrEnum):
    """Sort of multiplier of a meter."""

    ctRatio = "ctRatio"
    kE = "kE"
    kH = "kH"
    kR = "kR"
    ptRatio = "ptRatio"
    transformerRatio = "transformerRatio"


class NotificationTriggerKind(StrEnum):
    """What makes a notification go out."""

    etrChange = "etrChange"
    informDispatched = "informDispatched"
    initialEtr = "initialEtr"
    powerOut = "powerOut"
    powerRestored = "powerRestored"


class PhaseCode(StrEnum):
    """Phases present; s1 and s2 are the legs of a split-phase secondary."""

    A = "A"
    AB = "AB"
    ABC = "ABC"
    ABCN = "ABCN"
    ABN = "ABN"
    AC = "AC"
    ACN = "ACN"
    AN = "AN"
    B = "B"
    BC = "BC"
    BCN = "BCN"
    BN = "BN"
    C = "C"
    CN = "CN"
    N = "N"
    X = "X"
    XN = "XN"
    XY = "XY"
    XYN = "XYN"
    none = "none"
    s1 = "s1"
    s12 = "s12"
    s12N = "s12N"
    s1N = "s1N"
    s2 = "s2"
    s2N = "s2N"


class ReadingReasonKind(StrEnum):
    """Why a reading was taken."""

    billing = "billing"
    demandReset = "demandReset"
    inquiry = "inquiry"
    installation = "installation"
    loadManagement = "loadManagement"
    loadResearch = "loadResearch"
    moveIn = "moveIn"
    moveOut = "moveOut"
    other = "other"
    removal = "removal"
    serviceConnect = "serviceConnect"
    serviceDisconnect = "serviceDisconnect"


class RevenueKind(StrEnum):
    """Sort of revenue."""

    commercial = "commercial"
    industrial = "industrial"
    irrigation = "irrigation"
    nonResidential = "nonResidential"
    other = "other"
    residential = "residential"
    streetLight = "streetLight"


class ServiceKind(StrEnum):
    """Sort of service."""

    air = "air"
    electricity = "electricity"
    gas = "gas"
    heat = "heat"
    heatingFluid = "heatingFluid"
    internet = "internet"
    naturalGas = "naturalGas"
    other = "other"
    propane = "propane"
    rates = "rates"
    refuse = "refuse"
    sewerage = "sewerage"
    steam = "steam"
    time = "time"
    tvLicence = "tvLicence"
    water = "water"


class ServiceMultiplierKind(StrEnum):
    """Sort of multiplier at a usage point."""

    ctRatio = "ctRatio"
    ptRatio = "ptRatio"
    transformerRatio = "transformerRatio"


class SupplierKind(StrEnum):
    """Sort of supplier."""

    lse = "lse"
    mdma = "mdma"
    msp = "msp"
    other = "other"
    retailer = "retailer"
    utility = "utility"


class TroubleReportingKind(StrEnum):
    """How trouble was reported."""

    call = "call"
    email = "email"
    ivr = "ivr"
    letter = "letter"
    other = "other"


class UsagePointConnectedKind(StrEnum):
    """Whether a usage point is connected, and how it is not."""

    connected = "connected"
    logicallyDisconnected = "logicallyDisconnected"
    physicallyDisconnected = "physicallyDisconnected"


class WorkKind(StrEnum):
    """Sort of work."""

    connect = "connect"
    construction = "construction"
    disconnect = "disconnect"
    inspection = "inspection"
    maintenance = "maintenance"
    other = "other"
    reconnect = "reconnect"
    refurbishment = "refurbishment"
    repair = "repair"
    service = "service"
    test = "test"


class WorkStatusKind(StrEnum):
    """State of work."""

    approved = "approved"
    cancelled = "cancelled"
    closed = "closed"
    completed = "completed"
    dispatched = "dispatched"
    enroute = "enroute"
    inProgress = "inProgress"
    onSite = "onSite"
    scheduled = "scheduled"
    waitingOnApproval = "waitingOnApproval"
    waitingOnMaterial = "waitingOnMaterial"
    waitingToBeScheduled = "waitingToBeScheduled"


class WorkTaskKind(StrEnum):
    """Sort of task."""

    exchange = "exchange"
    install = "install"
    investigate = "investigate"
    remove = "remove"


class WorkTimeScheduleKind(StrEnum):
    """What the times of a schedule mean."""

    actual = "actual"
    earliest = "earliest"
    estimate = "estimate"
    immediate = "immediate"
    latest = "latest"
    request = "request"


NOT_IN_PART_6: dict[type[StrEnum], frozenset[str]] = {
    CustomerKind: frozenset({"enterprise", "regionalOperator", "subsidiary"}),
    PhaseCode: frozenset({"X", "XN", "XY", "XYN"}),
    WorkKind: frozenset({"refurbishment"}),
    WorkTimeScheduleKind: frozenset({"immediate"}),
}
"""Literals that the IEC 61968-6 schemas (service order, work request) do not list."""
