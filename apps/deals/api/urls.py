from django.urls import path

from apps.deals.api.views import authorizations, bids, deals, invoices

urlpatterns = [
    path("deals", deals.DealsView.as_view()),
    path("deals/<uuid:deal_id>", deals.DealView.as_view()),
    path("deals/<uuid:deal_id>/bids", bids.DealBidsView.as_view()),
    path("deals/<uuid:deal_id>/bids/reject", bids.DealBidsRejectionView.as_view()),
    path("bids", bids.BidsView.as_view()),
    path("bids/<uuid:bid_id>", bids.BidView.as_view()),
    path("bids/<uuid:bid_id>/accept", bids.BidAcceptanceView.as_view()),
    path("bids/<uuid:bid_id>/reject", bids.BidRejectionView.as_view()),
    path("bids/<uuid:bid_id>/counter", bids.BidCounterView.as_view()),
    path("bids/<uuid:bid_id>/withdraw", bids.BidWithdrawalView.as_view()),
    path("authorizations", authorizations.AuthorizationsView.as_view()),
    path("authorizations/<uuid:authorization_id>", authorizations.AuthorizationView.as_view()),
    path("invoices", invoices.InvoicesView.as_view()),
    path("invoices/<uuid:invoice_id>", invoices.InvoiceView.as_view()),
    path("invoices/<uuid:invoice_id>/mark-paid", invoices.PaymentView.as_view()),
    path("invoices/<uuid:invoice_id>/void", invoices.VoidView.as_view()),
    path("credit-notes", invoices.CreditNotesView.as_view()),
    path("credit-notes/<uuid:credit_note_id>", invoices.CreditNoteView.as_view()),
]
