"""Content of sample customer agreements."""

from datetime import timedelta
from decimal import Decimal

from cimcare.model.customer_agreement import (
    Customer,
    CustomerAccount,
    CustomerAgreement,
    CustomerAgreements,
    DemandResponseProgram,
    Organisation,
    PricingStructure,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
    Tariff,
    UsagePoint,
)
from cimcare.model.enumerations import CustomerKind, RevenueKind, ServiceKind, SupplierKind, UsagePointConnectedKind
from cimcare.model.values import (
    CoordinateSystem,
    DateTimeInterval,
    ElectronicAddress,
    Money,
    PositionPoint,
    Priority,
    Status,
    StreetAddress,
    StreetDetail,
    TelephoneNumber,
    TownDetail,
)
from cimcare.samples.draw import mrid_for
from cimcare.samples.northlake import AREA_CODE, COUNTRY, CRS_URN, STATE, TOWN, Premises, name_of
from cimcare.samples.scene import Form, Scene

__all__ = ["build_customer_agreements"]

_SUPPLIERS = (
    ("SUP-1", "Northlake Light and Power", SupplierKind.utility),
    ("SUP-2", "Lakeshore Energy Retail", SupplierKind.retailer),
    ("SUP-3", "Greenbank Power Supply", SupplierKind.retailer),
)


def build_customer_agreements(scene: Scene, form: Form) -> CustomerAgreements:
    """Payload with the one agreement of the scene."""
    names = name_of(scene.number("AG"), "AgreementNumber")
    if form is Form.FULL:
        agreement = _agreement(scene)
    elif form is Form.CHANGE:
        agreement = CustomerAgreement(
            mrid=scene.mrid,
            load_mgmt="LM-2",
            names=names,
            pricing_structures=(_pricing(scene, "RES-TOU-2"),),
        )
    elif form is Form.CHANGED:
        agreement = CustomerAgreement(
            mrid=scene.mrid,
            last_modified_date_time=scene.at(minutes=-1),
            customer_account=CustomerAccount(
                mrid=scene.premises.mrid("account"),
                billing_cycle=str(scene.draw("cycle").between(1, 28)),
                names=name_of(scene.premises.account, "AccountNumber"),
            ),
            names=names,
        )
    elif form is Form.CANCELED:
        agreement = CustomerAgreement(
            mrid=scene.mrid,
            last_modified_date_time=scene.at(minutes=-1),
            names=names,
            status=Status(date_time=scene.at(minutes=-1), reason="entered for the wrong premises", value="cancelled"),
        )
    elif form is Form.CLOSED:
        agreement = CustomerAgreement(
            mrid=scene.mrid,
            last_modified_date_time=scene.at(minutes=-1),
            shut_off_date_time=scene.at(hours=-2),
            names=names,
            status=Status(date_time=scene.at(minutes=-1), reason="move-out", value="ended"),
            validity_interval=DateTimeInterval(start=scene.at(days=-900), end=scene.at(hours=-2)),
        )
    else:
        agreement = CustomerAgreement(mrid=scene.mrid, names=names)
    return CustomerAgreements(customer_agreement=(agreement,))


def _agreement(scene: Scene) -> CustomerAgreement:
    premises, draw = scene.premises, scene.draw("agreement")
    number, supplier, supplier_kind = draw.pick(_SUPPLIERS)
    begin = scene.day(-draw.between(0, 20), 0)
    return CustomerAgreement(
        mrid=scene.mrid,
        comment=draw.pick(("Move-in after sale of the house.", "Moved here from Harbour Street.", "New contract.")),
        created_date_time=scene.at(minutes=-3),
        is_pre_pay=draw.chance(15),
        last_modified_date_time=scene.at(minutes=-1),
        load_mgmt=draw.pick(("LM-0", "LM-1", "LM-2")),
        revision_number="1",
        sign_date=(begin - timedelta(days=draw.between(1, 30))).date(),
        subject=f"Electricity for {premises.address}",
        title="Supply contract",
        type="supply",
        customer=_customer(premises),
        customer_account=CustomerAccount(
            mrid=premises.mrid("account"),
            billing_cycle=str(draw.between(1, 28)),
            budget_bill="N",
            last_bill_amount=Money(Decimal(draw.between(1_500, 45_000)) / 100),
            names=name_of(premises.account, "AccountNumber"),
            status=Status(date_time=scene.at(days=-30), value="active"),
        ),
        demand_response_programs=(
            DemandResponseProgram(
                mrid=mrid_for(TOWN, "programme", "evening"),
                type="direct load control",
                names=name_of("DR-EVENING", "ProgrammeCode"),
                validity_interval=DateTimeInterval(start=scene.day(0, 0), end=scene.day(365, 0)),
            ),
        )
        if draw.chance(35)
        else (),
        doc_status=Status(date_time=scene.at(minutes=-1), value="signed"),
        names=name_of(scene.number("AG"), "AgreementNumber"),
        pricing_structures=(_pricing(scene, draw.pick(("RES-1", "RES-TOU-1", "COM-1"))),),
        service_category=ServiceCategory(
            mrid=mrid_for(TOWN, "category", "electricity"),
            kind=ServiceKind.electricity,
            names=name_of("ELEC", "ServiceCategoryCode"),
        ),
        service_locations=(_location(premises),),
        service_supplier=ServiceSupplier(
            mrid=mrid_for(TOWN, "supplier", number),
            issuer_identification_number=f"8{draw.between(10_000, 99_999)}",
            kind=supplier_kind,
            names=name_of(number, "SupplierNumber"),
            organisation=Organisation(
                mrid=mrid_for(TOWN, "organisation", number), names=name_of(supplier, "LegalName", "Trade Register")
            ),
        ),
        status=Status(date_time=scene.at(minutes=-1), reason="move-in", value="active"),
        usage_points=(
            UsagePoint(
                mrid=premises.mrid("usage_point"),
                connection_state=UsagePointConnectedKind.connected,
                is_sdp=True,
                is_virtual=False,
                read_cycle=f"C{draw.between(1, 20):02}",
                read_route=f"{premises.section} {premises.street}",
                service_delivery_remark=f"Feeder {premises.feeder}, transformer {premises.device}",
                service_priority="1" if premises.special_need else "5",
                names=name_of(premises.usage_point, "UsagePointNumber"),
            ),
        ),
        validity_interval=DateTimeInterval(start=begin, end=begin + timedelta(days=730) if draw.chance(30) else None),
    )


def _customer(premises: Premises) -> Customer:
    return Customer(
        mrid=premises.mrid("customer"),
        kind=premises.kind,
        locale="en_US",
        puc_number=f"PUC-{600 + premises.index}",
        special_need=premises.special_need,
        vip=False,
        names=name_of(premises.customer, "CustomerNumber"),
        organisation=Organisation(
            mrid=premises.mrid("organisation"),
            electronic_address=ElectronicAddress(email1=premises.email),
            names=name_of(premises.organisation, "LegalName"),
            phone1=_telephone(premises),
            postal_address=_address(premises),
            street_address=_address(premises),
        ),
        priority=Priority(
            justification=premises.special_need or "no special need",
            rank=1 if premises.special_need else 5,
            type="service",
        ),
        status=Status(value="active"),
    )


def _pricing(scene: Scene, code: str) -> PricingStructure:
    commercial = scene.premises.kind is not CustomerKind.residential
    year = scene.base.year
    first = scene.base.date().replace(month=1, day=1)
    return PricingStructure(
        mrid=mrid_for(TOWN, "pricing", code),
        code=code,
        daily_ceiling_usage=120,
        daily_estimated_usage=30 if commercial else 14,
        daily_floor_usage=0,
        revenue_kind=RevenueKind.commercial if commercial else RevenueKind.residential,
        tax_exemption=False,
        names=name_of(code, "PricingCode"),
        tariffs=(
            Tariff(
                mrid=mrid_for(TOWN, "tariff", code, year),
                end_date=first.replace(month=12, day=31),
                start_date=first,
                names=name_of(f"{code}-{year}", "TariffCode"),
            ),
        ),
    )


def _location(premises: Premises) -> ServiceLocation:
    return ServiceLocation(
        mrid=premises.mrid("location"),
        access_method="Ring twice; the meter is in the hall.",
        direction=f"Between {premises.section} chapel and the corner shop.",
        geo_info_reference="Northlake network map, sheet 4",
        needs_inspection=False,
        site_access_problem="dog" if premises.index % 9 == 0 else None,
        type="premises",
        coordinate_system=CoordinateSystem(crs_urn=CRS_URN),
        electronic_address=ElectronicAddress(email1=premises.email),
        main_address=_address(premises),
        names=name_of(premises.location, "ServiceLocationNumber"),
        phone1=_telephone(premises),
        position_points=(
            PositionPoint(sequence_number=1, x_position=premises.x_position, y_position=premises.y_position),
        ),
        status=Status(value="in service"),
    )


def _address(premises: Premises) -> StreetAddress:
    return StreetAddress(
        postal_code=premises.postal_code,
        status=Status(value="confirmed"),
        street_detail=StreetDetail(
            name=premises.street, number=premises.house_number, type=premises.street_type, within_town_limits=True
        ),
        town_detail=TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE),
    )


def _telephone(premises: Premises) -> TelephoneNumber:
    return TelephoneNumber(area_code=AREA_CODE, country_code="1", local_number=premises.local_number)
